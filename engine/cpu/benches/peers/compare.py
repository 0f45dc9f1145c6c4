"""Runs girih and its peers in turn and prints how many times as long each peer takes.

See README.md. One round measures every engine once, so that a disturbance of the machine meets all of them;
the figure of an engine is the median over the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[3]
# Measured shapes: rows of the table as (model file, length, batch); None: as the model file says.
SHAPES = {
    "minilm": [(None, None), (128, 8), (32, 32)],
    "lstm": [(None, None), (1024, 16)],
    "moe": [(None, None), (1, None)],
}
# Tokens of a text that is generated one by one.
STEPS = 64


def measure(call, seconds):
    """Median milliseconds of a call: on the wall, and of all threads."""
    call()
    call()
    walls, processors, start = [], [], time.perf_counter()
    while True:
        wall, processor = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        elapsed = time.perf_counter() - start
        if (elapsed > seconds and len(walls) >= 5) or elapsed > 8 * seconds:
            return 1e3 * statistics.median(walls), 1e3 * statistics.median(processors)


def girih(args, what, threads, compute):
    """The same of one `girih bench` of `what`, a model with its options, and the most bytes it had; or why it cannot."""
    line = [args.girih, "bench", *what, "--json", "--seconds", str(args.seconds), "--compute", compute]
    line += ["--backend", args.backend] if args.backend else []
    # The reference backend takes no number of threads.
    line += ["--threads", str(threads)] if args.backend != "reference" else []
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout)
    return found["median_ms"], found["cpu_ms"] or found["median_ms"], found["peak_bytes"]


def example(name, shape):
    """What girih is given for a workload: the model file, and sizes where they are not the file's."""
    length, batch = shape
    what = [str(ROOT / "examples" / "bench" / f"{name}.girih")]
    what += ["--extent", f"t={length}"] if length else []
    return what + (["--batch", str(batch)] if batch else [])


def quantized(file, length):
    """What girih is given for a file of quantized weights: a prompt, or one token behind as many others as half
    of `STEPS`."""
    what = [str(ROOT / "examples" / "smollm2.girih"), "--weights", file]
    return what + (["--mode", "read", "--extent", f"t={length}"] if length > 1 else ["--mode", "step", "--extent", f"t={STEPS // 2}"])


def stepping(name):
    """As `quantized` for one token, with random weights in the shapes of a published model."""
    return [str(ROOT / "examples" / "hf" / f"{name}.girih"), "--mode", "step", "--extent", f"t={STEPS // 2}"]


def peers(name, shape, threads, options, only=None):
    """Ways to compute a workload as `{engine: call}`, or one of them; what cannot be had is said and left out."""
    import torch

    import workloads

    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    length, batch = shape
    sizes = {key: size for key, size in (("t", length), ("batch", batch)) if size}
    work = workloads.WORKLOADS[name][0](**sizes)
    calls = dict(work.ways)
    if "bf16" in options.compute and work.module is not None:
        # `to` works in place, so this one is made anew.
        half = workloads.WORKLOADS[name][0](**sizes)
        half.module.to(torch.bfloat16)
        calls |= {f"{way}, bf16": call for way, call in half.ways.items()}
    more = []
    if name == "minilm":
        more += [("onnxruntime", lambda: onnxruntime_call(work, threads))]
        precisions = ["f32"] + ["bf16"] * ("bf16" in options.compute)
        for precision in precisions:
            more += [(f"OpenVINO, {precision}", lambda p=precision: openvino_call(work, threads, p))]
    if options.compile and work.hidden:
        more += [("torch flex_attention, compiled", lambda: workloads.flex(work))]
    if options.compile and name not in ("selective_scan", "rwkv6", "delta_rule", "mamba2_ssd"):
        # Compilers unroll a loop over time; a thousand steps take them minutes.
        way, call = next(iter(work.ways.items()))
        more += [(f"{way}, torch.compile", lambda: compiled(call))]
    return calls | made([(engine, make) for engine, make in more if only in (None, engine)])


def stepping_peers(name, threads):
    """As `peers`, for what girih does with `stepping`."""
    return made([("transformers", lambda: step_call(name, threads))])


def step_call(name, threads):
    """One token, on average behind half of `STEPS` others."""
    import torch
    from transformers import DynamicCache

    import workloads

    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    module = workloads.WORKLOADS[name][0](t=1).module
    token, cache, taken = torch.zeros(1, 1, dtype=torch.long), None, 0

    def call():
        nonlocal cache, taken
        if taken % STEPS == 0:
            cache = DynamicCache(config=module.config)
        taken += 1
        module(token, past_key_values=cache, logits_to_keep=1)

    return call


def quantized_peers(file, length, threads):
    """As `peers`, for what girih does with `quantized`."""
    return made([("llama.cpp", lambda: llama_call(file, threads, length))])


def made(engines):
    """The calls of engines that can be had; the others are said."""
    calls = {}
    for engine, make in engines:
        try:
            calls[engine] = make()
        except Exception as problem:  # Whatever a peer lacks, the others are measured.
            skip(engine, problem)
    return calls


def compiled(call):
    import torch

    torch._dynamo.reset()
    fast = torch.compile(call, dynamic=False)
    fast()
    return fast


def minilm_onnx(work, path):
    import torch

    class Hidden(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, ids, mask):
            return self.module(input_ids=ids, attention_mask=mask).last_hidden_state

    ids = work.inputs["ids"]
    work.module.set_attn_implementation("eager")
    torch.onnx.export(
        Hidden(work.module), (ids, torch.ones_like(ids)), str(path), input_names=["ids", "mask"],
        output_names=["out"], dynamo=False, opset_version=17,
    )
    work.module.set_attn_implementation("sdpa")


def exported(work):
    """The encoder as an ONNX file, and its inputs."""
    import tempfile

    folder = tempfile.TemporaryDirectory()
    work.folder = folder  # Deleted with the workload.
    path = pathlib.Path(folder.name) / "minilm.onnx"
    minilm_onnx(work, path)
    ids = work.inputs["ids"].numpy()
    return path, {"ids": ids, "mask": (ids >= 0).astype(ids.dtype)}


def onnxruntime_call(work, threads):
    import onnxruntime

    path, inputs = exported(work)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def openvino_call(work, threads, precision):
    import openvino

    path, inputs = exported(work)
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({name: list(array.shape) for name, array in inputs.items()})
    settings = {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision, "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer(inputs)


def llama_call(file, threads, length):
    """A prompt of so many tokens, or one token: on average behind half of `STEPS` others."""
    import llama_cpp as llama

    llama.llama_backend_init()
    settings = llama.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(file.encode(), settings)
    settings = llama.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 1024, 512, 512
    settings.n_threads = settings.n_threads_batch = threads
    context = llama.llama_init_from_model(model, settings)
    tokens = (llama.llama_token * length)(*[7 * i % 5000 + 500 for i in range(length)])
    taken = 0

    def call():
        nonlocal taken
        if length > 1 or taken % STEPS == 0:
            llama.llama_memory_clear(llama.llama_get_memory(context), True)
        taken += 1
        if llama.llama_decode(context, llama.llama_batch_get_one(tokens, length)):
            raise RuntimeError("llama_decode failed")

    return call


def peak(name, shape, engine, options):
    """Megabytes of a process: with a peer's libraries alone, and the most of them while the peer runs. For a process
    of its own."""
    import ctypes
    import gc

    def resident(what):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(what))

    sys.path.insert(0, str(HERE))
    import workloads  # noqa: F401

    if engine.startswith("OpenVINO"):
        import openvino  # noqa: F401
    elif engine == "onnxruntime":
        import onnxruntime  # noqa: F401
    before = resident("VmRSS")
    call = peers(name, shape, 1, options, engine)[engine]
    call()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    for _ in range(3):
        call()
    return before, resident("VmHWM")


def memory(args, name, shape, what, engines):
    """Rows of the memory that each engine takes on one thread."""
    import multiprocessing

    yield f"| {name} | girih | {girih(args, what, 1, 'f32')[2] / 1e6:.0f} | |"
    for engine in engines:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            before, most = process.apply(peak, (name, shape, engine, args))
        yield f"| {name} | {engine} | {most:.0f} | {most - before:.0f} |"


skipped = set()


def skip(engine, problem):
    """Says once what is left out."""
    words = " ".join(str(problem).split())
    if engine not in skipped:
        print(f"left out: {engine}: {type(problem).__name__}: {words[:120]}", file=sys.stderr)
    skipped.add(engine)


def compare(args, name, what, threads, others):
    """Milliseconds of every engine, one list of rounds each: girih with `what`, and the calls of others. One thread is
    judged by processor time, which other processes disturb less, more threads by the wall."""
    which = 1 if threads == 1 and args.backend != "reference" else 0
    engines = {}
    for compute in args.compute:
        engine = "girih" if compute == "f32" else f"girih, {compute}"
        engines[engine] = lambda compute=compute: girih(args, what, threads, compute)
    for engine, call in others.items():
        engines[engine] = lambda call=call: measure(call, args.seconds)
    times = {}
    for _ in range(args.rounds):
        for engine in list(engines):
            try:
                times.setdefault(engine, []).append(engines[engine]()[which])
            except Exception as problem:
                skip(f"{engine} for {name}", problem)
                del engines[engine]
            time.sleep(0.2)  # Threads of the last engine stop spinning.
    return {engine: found for engine, found in times.items() if engine in engines}


def rows(name, shape, threads, times):
    length, batch = shape
    label = name + (f" t={length}" if length else "") + (f" b={batch}" if batch else "")
    own = statistics.median(times["girih"]) if "girih" in times else None
    for engine, found in times.items():
        middle = statistics.median(found)
        spread = 100 * (max(found) - min(found)) / middle
        ratio = f"{middle / own:.2f}" if own else "–"
        yield f"| {label} | {threads} | {engine} | {middle:.3g} | {spread:.0f} % | {ratio} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--girih", default=str(ROOT / "target" / "release" / "girih"), help="the command")
    parser.add_argument("--backend", help="girih's backend; its default when absent")
    parser.add_argument("--only", help="names of workloads, with commas; empty for none")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--compute", default="f32", help="of girih and of peers that have it: f32,bf16,int8")
    parser.add_argument("--compile", action="store_true", help="also peers that compile; slow to begin")
    parser.add_argument("--memory", action="store_true", help="how much memory each takes, not how long")
    parser.add_argument("--gguf", help="a file of SmolLM2-135M, quantized, to run beside llama.cpp")
    args = parser.parse_args()
    args.compute = args.compute.split(",")
    if not os.access(args.girih, os.X_OK):
        parser.error(f"there is no `{args.girih}`; build it with `cargo build --release` or name it with --girih")
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    sys.path.insert(0, str(HERE))
    sys.dont_write_bytecode = True
    import workloads

    names = list(workloads.WORKLOADS) if args.only is None else [name for name in args.only.split(",") if name]
    if unknown := [name for name in names if name not in workloads.WORKLOADS]:
        parser.error(f"no workload is called {', '.join(unknown)}; there are {', '.join(workloads.WORKLOADS)}")
    if args.memory:
        print("| workload | engine | MB | without its libraries |\n|---|---|---|---|", flush=True)
        for name in names:
            shape = (None, None)
            engines = list(peers(name, shape, 1, args))
            for row in memory(args, name, shape, example(name, shape), engines):
                print(row, flush=True)
        return
    print("| workload | threads | engine | ms | spread | times girih |\n|---|---|---|---|---|---|", flush=True)
    # What is measured: the name and shape of its rows, what girih is given, and the peers for a number of threads.
    jobs = [
        (name, shape, example(name, shape), lambda threads, name=name, shape=shape: peers(name, shape, threads, args))
        for name in names
        for shape in SHAPES.get(name, [(None, None)])
    ]
    if "gpt2" in names:
        jobs.append(("gpt2", (1, None), stepping("gpt2"), lambda threads: stepping_peers("gpt2", threads)))
    for length in (512, 1) if args.gguf else ():
        others = lambda threads, length=length: quantized_peers(args.gguf, length, threads)
        jobs.append((pathlib.Path(args.gguf).stem, (length, None), quantized(args.gguf, length), others))
    for name, shape, what, others in jobs:
        for threads in map(int, args.threads.split(",")):
            for row in rows(name, shape, threads, compare(args, name, what, threads, others(threads))):
                print(row, flush=True)


if __name__ == "__main__":
    main()
