"""Runs girih on a GPU and torch on the same one in turn, and prints how many times as long torch takes.

See README.md of the plugin. Workloads and the way of measuring are those of `engine/cpu/benches/peers`: one round measures
every engine once, and the figure of an engine is the median over the rounds. Times are those of the wall; a call of torch
is over when the device is done. Both multiply factors of 32 bits as they are.
"""

import argparse
import os
import pathlib
import sys
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "engine" / "cpu" / "benches" / "peers"))
import compare  # What both scripts do alike.

# Loops over time, which compilers unroll: a thousand steps take them minutes.
UNROLLED = {"selective_scan", "rwkv6", "delta_rule", "mamba2_ssd", "lstm", "mamba1"}


def measure(call, seconds):
    """Median milliseconds of a call, as `compare.measure` gives them."""
    import torch

    def whole():
        call()
        torch.cuda.synchronize()

    return compare.measure(whole, seconds)


def peers(name, shape, args):
    """Ways to compute a workload on the device as `{engine: call}`; what cannot be had is said and left out."""
    try:
        import torch

        if not torch.cuda.is_available():
            raise RuntimeError("it sees no device")
        import workloads
    except Exception as problem:  # girih is measured alone.
        compare.skip("torch", problem)
        return {}
    torch.set_grad_enabled(False)
    torch.set_default_device("cuda")
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    if name not in workloads.WORKLOADS:
        compare.skip(f"torch for {name}", RuntimeError("it has no such workload"))
        return {}
    length, batch = shape
    sizes = {key: size for key, size in (("t", length), ("batch", batch)) if size}
    try:
        work = workloads.WORKLOADS[name][0](**sizes)
        if work.module is not None:
            work.module.to("cuda")
    except Exception as problem:
        compare.skip(f"torch for {name}", problem)
        return {}
    more = []
    if not args.eager and name not in UNROLLED:
        way, call = next(iter(work.ways.items()))
        more += [
            (f"{way}, torch.compile", lambda: compiled(call, None)),
            (f"{way}, torch.compile with graphs", lambda: compiled(call, "reduce-overhead")),
        ]
    return dict(work.ways) | compare.made(more)


def compiled(call, mode):
    import torch

    torch._dynamo.reset()
    fast = torch.compile(call, dynamic=False, mode=mode)
    fast()
    return fast


def times(args, name, what, others):
    """Milliseconds of every engine on the wall, one for each round."""
    ways = {"girih": lambda: compare.girih(args, what, args.threads, "f32")}
    for engine, call in others.items():
        ways[engine] = lambda call=call: measure(call, args.seconds)
    found = {}
    for _ in range(args.rounds):
        for engine in list(ways):
            try:
                found.setdefault(engine, []).append(ways[engine]()[0])
            except Exception as problem:  # The others are measured.
                compare.skip(f"{engine} for {name}", problem)
                del ways[engine]
            time.sleep(0.2)
    return {engine: own for engine, own in found.items() if engine in ways}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--girih", default=str(ROOT / "target" / "release" / "girih"), help="the command")
    parser.add_argument("--backend", default="cuda", help="girih's backend")
    parser.add_argument("--only", help="names of workloads, with commas")
    parser.add_argument("--length", type=int, help="positions of `t`, where they are not the model file's")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of girih's host")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--eager", action="store_true", help="without what torch compiles, which is slow to begin")
    args = parser.parse_args()
    if not os.access(args.girih, os.X_OK):
        parser.error(f"there is no `{args.girih}`; build it with `cargo build --release` or name it with --girih")
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    known = sorted(path.stem for path in (ROOT / "examples" / "bench").glob("*.girih"))
    names = known if args.only is None else [name for name in args.only.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no workload is called {', '.join(unknown)}; there are {', '.join(known)}")
    print("| workload | threads | engine | ms | spread | times girih |\n|---|---|---|---|---|---|", flush=True)
    for name in names:
        shapes = compare.SHAPES.get(name, [(None, None)]) if args.length is None else [(args.length, None)]
        for shape in shapes:
            found = times(args, name, compare.example(name, shape), peers(name, shape, args))
            for row in compare.rows(name, shape, args.threads, found):
                print(row, flush=True)


if __name__ == "__main__":
    main()
