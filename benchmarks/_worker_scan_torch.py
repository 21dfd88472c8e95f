"""Worker, in the peers' environment: forward and backward of transformers' selective scan, by its loop or by mamba.py.

`mamba_selective_scan` is what a `MambaMixer` calls where no CUDA kernel is: a loop over time, or mamba.py's `pscan`.
"""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

import numpy as np

from benchmarks._measure import arguments, tell
from benchmarks._scan_inputs import apart, inputs

LENGTH_LAST = ("x", "delta", "B", "C")


def resident(which: str) -> int:
    """Resident memory in bytes: now (`VmRSS`), or its greatest since it was last forgotten (`VmHWM`)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def main() -> None:
    given = arguments(__doc__, "peer", "size")
    import torch
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    arrays = inputs(given.size)
    read = {
        key: torch.tensor(value.swapaxes(1, 2).copy() if key in LENGTH_LAST else value, requires_grad=True)
        for key, value in arrays.items()
        if key != "weights"
    }
    weights = torch.tensor(arrays["weights"].swapaxes(1, 2).copy())

    def turn() -> torch.Tensor:
        y = mamba_selective_scan(
            read["x"],
            read["delta"],
            read["A"],
            read["B"],
            read["C"],
            D=read["D"],
            use_mambapy=given.peer == "mambapy",
        )
        torch.autograd.grad((y * weights).sum(), list(read.values()))
        return y

    base = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    y = turn().detach().numpy().swapaxes(1, 2)
    memory = resident("VmHWM") - base
    least, began = np.inf, time.perf_counter()
    while time.perf_counter() - began < given.seconds:
        at = time.perf_counter()
        turn()
        least = min(least, time.perf_counter() - at)
    package = "mambapy" if given.peer == "mambapy" else "transformers"
    tell(wall=least, memory=memory, apart=apart(y, arrays), version=importlib.metadata.version(package))


if __name__ == "__main__":
    main()
