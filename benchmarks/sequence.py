"""The selective scan, forward and backward, on a CPU: against `associative_scan`, mamba.py and transformers."""

from __future__ import annotations

from benchmarks import _report as report
from benchmarks._options import Options
from benchmarks._peers import Wheels, interpreter
from benchmarks._processes import Contender, interleave, say
from benchmarks._scan_inputs import SIZES

TORCH = Wheels(
    key="sequence",
    title="mamba.py and transformers",
    requirements=("torch==2.13.0", "transformers==5.24.0", "mambapy==1.2.0", "numpy==2.3.5"),
)
OURS = ("loops", "chunks", "associative", "loops-zoh", "chunks-zoh", "associative-zoh")
BARS = {"associative": 5.0, "mambapy": 1.3, "transformers": 50.0}
SMALL, LARGE = "1x1024", "8x1024"
PEERS = ("mambapy", "transformers")
MEMORY_BAR = 20.0


def settings(options: Options) -> dict[str, str]:
    """What was measured, and how."""
    return {
        "sizes": "; ".join(f"{name}: B, L, D, N = {size}" for name, size in SIZES.items()) + "; float32",
        "timed": "gradients of a weighted sum of the outputs with respect to x, delta, A, B, C and D, after one call; "
        f"wall seconds of the least of the calls in a process; contenders in turns; repeats: {options.repeats}",
        "loops": "`selective_scan` as it is by default on a CPU, euler (as in the peers) and zoh; `jit`; one thread",
        "chunks": "the same with form `chunks`, in XLA alone",
        "associative": "the same with form `associative`, `jax.lax.associative_scan`",
        "transformers": "`mamba_selective_scan`, which its mixer calls where no CUDA kernel is: the loop over time",
        "mambapy": "the same with `use_mambapy=True`: mamba.py's `pscan`",
        "memory": "temporary memory of the compiled program, as XLA counts it, without inputs, outputs and gradients; "
        "of PyTorch the growth of the greatest resident memory",
    }


def run(options: Options) -> str:
    """The Markdown of both sizes."""
    return "".join(_size(name, options) for name in SIZES)


def _size(name: str, options: Options) -> str:
    say(f"sequence, {name}")
    seconds = ("--seconds", f"{options.seconds:g}")
    contenders = {form: Contender(name=form, module="_worker_scan", arguments=(form, name, *seconds)) for form in OURS}
    python = str(interpreter(TORCH))
    for peer in PEERS:
        arguments = (peer, name, *seconds)
        contenders[peer] = Contender(name=peer, module="_worker_scan_torch", arguments=arguments, python=python)
    rows = interleave(list(contenders.values()), options.repeats)
    found = {key: [row[i] for row in rows] for i, key in enumerate(contenders)}
    wall = {key: [1e3 * one["wall"] for one in each] for key, each in found.items()}
    memory = {key: [one["memory"] / 2**20 for one in each] for key, each in found.items()}
    bars = "".join(
        report.bar(f"times {key}", report.ratios(wall[key], wall["loops"]), least=least)
        for key, least in BARS.items()
        if key in wall
    )
    zoh = report.ratios(wall["associative-zoh"], wall["loops-zoh"])
    bars += report.bar("times associative, zero-order hold", zoh, least=BARS["associative"])
    if name == LARGE:
        ratio = report.ratios(memory["associative"], memory["loops"])
        bars += report.bar("memory, associative / loops", ratio, least=MEMORY_BAR)
    apart = max(one["apart"] for each in found.values() for one in each)
    text = f"\n## {name}: forward and backward, ms\n\n{report.repeats(wall, ',.1f')}\n"
    text += f"Memory, MiB:\n\n{report.repeats(memory, ',.1f')}\n{bars}"
    return (
        text + f"- greatest difference of outputs from the equation in float64, relative to the largest: {apart:.1e}\n"
    )
