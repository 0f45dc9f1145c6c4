"""Writes what `girih verify` compares the workloads with: `python goldens.py FOLDER`.

Every way to compute a workload must agree before its numbers are written.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

sys.dont_write_bytecode = True
from workloads import WORKLOADS  # noqa: E402

torch.set_grad_enabled(False)
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, (make, sizes) in WORKLOADS.items():
    torch.manual_seed(0)
    work = make(**sizes)
    results = {way: run() for way, run in work.ways.items()}
    source, out = next(iter(results.items()))
    for way, other in results.items():
        assert torch.allclose(out, other, atol=1e-5, rtol=1e-4), (name, way, (out - other).abs().max())
    tensors = work.inputs | work.params | {"out": out}
    metadata = {"config": json.dumps(work.config), "source": source, "tolerance": "atol 1e-5 rtol 1e-4"}
    stored = {path: tensor.detach().clone().contiguous() for path, tensor in tensors.items()}
    save_file(stored, folder / f"{name}.safetensors", metadata)
    print(f"{name}: {source}, {len(results)} ways agree")
