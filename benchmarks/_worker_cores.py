"""Worker: forward and backward of every core, call by call in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks._measure import arguments, tell
from benchmarks._prepare import prepare

STEPS, SEQUENCES, WIDTH = 128, 320, 128  # 64 environments of 5 agents


def main() -> None:
    given = arguments(__doc__, "names")
    prepare()
    import jax

    names = given.names.split(",")
    programs = {name: _program(name) for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    wall: dict[str, list[float]] = {name: [] for name in names}
    began = time.perf_counter()
    while time.perf_counter() - began < given.seconds * len(names) or len(cpu[names[0]]) < 3:
        for name, (program, read) in programs.items():
            at, spent = time.perf_counter(), time.process_time()
            jax.block_until_ready(program(*read))
            cpu[name].append(time.process_time() - spent)
            wall[name].append(time.perf_counter() - at)
    tell(
        **{
            name: {
                "cpu": min(cpu[name]),
                "wall": min(wall[name]),
                "memory": program.memory_analysis().temp_size_in_bytes,
                "parameters": sum(x.size for x in jax.tree.leaves(read[0])),
            }
            for name, (program, read) in programs.items()
        }
    )


def _program(name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The compiled gradient of a weighted sum of a core's outputs, and what it reads; it ran once."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from suasion.networks import CORES, CoreInput

    rng = np.random.default_rng(0)
    core = CORES[name](jax.random.key(0), features=WIDTH, rows=0, width=WIDTH)
    features, weights = (jnp.asarray(rng.normal(size=(STEPS, SEQUENCES, WIDTH)), jnp.float32) for _ in range(2))
    start = jnp.asarray(rng.random((STEPS, SEQUENCES)) < 0.01)

    def scalar(core: Any, features: Any, start: Any, weights: Any) -> Any:
        rows = jnp.zeros((*features.shape[:2], 0), jnp.int32)
        _, y = core.scan(core.initial(SEQUENCES), CoreInput(features, rows), start)
        return jnp.sum(y * weights)

    read = (core, features, start, weights)
    program = jax.jit(jax.grad(scalar, argnums=(0, 1))).lower(*read).compile()
    jax.block_until_ready(program(*read))
    return program, read


if __name__ == "__main__":
    main()
