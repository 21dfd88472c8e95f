"""Worker: forward and backward of one form of `selective_scan`."""

from __future__ import annotations

import time

import numpy as np

from benchmarks._measure import arguments, tell
from benchmarks._scan_inputs import apart, inputs


def main() -> None:
    given = arguments(__doc__, "form", "size")
    import jax
    import jax.numpy as jnp

    from suasion.sequence import selective_scan

    form, _, rule = given.form.partition("-")
    rule = rule or "euler"
    arrays = inputs(given.size)
    read = [
        arrays[key] if key in ("A", "D") else arrays[key].swapaxes(0, 1) for key in ("x", "delta", "A", "B", "C", "D")
    ]
    weights = jnp.asarray(arrays["weights"].swapaxes(0, 1))

    def scalar(x, delta, A, B, C, D):
        y = selective_scan(x, delta, A, B, C, D=D, discretization=rule, form=form).y
        return jnp.sum(y * weights), y

    program = jax.jit(jax.grad(scalar, argnums=tuple(range(6)), has_aux=True)).lower(*read).compile()
    _, y = jax.block_until_ready(program(*read))
    least, began = np.inf, time.perf_counter()
    while time.perf_counter() - began < given.seconds:
        at = time.perf_counter()
        jax.block_until_ready(program(*read))
        least = min(least, time.perf_counter() - at)
    memory = program.memory_analysis().temp_size_in_bytes
    tell(wall=least, memory=memory, apart=apart(np.asarray(y).swapaxes(0, 1), arrays, rule))


if __name__ == "__main__":
    main()
