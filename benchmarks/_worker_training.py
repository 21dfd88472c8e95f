"""Worker: updates of the preset of Cleanup `paper`, and float32 matrix products in the same process."""

from __future__ import annotations

import time

from benchmarks._measure import arguments, tell, timed
from benchmarks._prepare import prepare

SIDE, PRODUCTS = 1024, 9


def main() -> None:
    given = arguments(__doc__)
    prepare()
    import jax

    from suasion.agents import init, update
    from suasion.runs import build, configure

    config = configure("cleanup", size="paper")
    experiment = build(config)
    learner = jax.jit(init, static_argnums=0)(experiment, jax.random.key(0))
    on = jax.jit(update, static_argnums=0, donate_argnums=1)

    def turn() -> int:
        nonlocal learner
        learner, report = on(experiment, learner)
        jax.block_until_ready((learner, report))
        return config.learner.steps_per_update * experiment.game.spec.agents

    turn()
    rate = product_rate()
    tell(
        **timed(turn, given.seconds),
        flops=rate,
        config=config.to_json(),
        agents=experiment.game.spec.agents,
        view=experiment.game.spec.view,
        devices=f"{jax.device_count()} of {jax.default_backend()}",
    )


def product_rate() -> float:
    """Floating-point operations a second of the best of nine products of 1024 x 1024 matrices on every device at once.

    The command line makes each core a device with one thread: a product on one of them would claim that the machine
    is only as fast as one core.
    """
    import jax

    count = jax.device_count()
    a, b = (jax.random.normal(key, (count, SIDE, SIDE)) for key in jax.random.split(jax.random.key(0)))
    multiply = jax.pmap(lambda a, b: a @ b)
    a, b = multiply(a, b), multiply(b, a)  # on their devices from now on
    jax.block_until_ready(multiply(a, b))
    seconds = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        jax.block_until_ready(multiply(a, b))
        seconds.append(time.perf_counter() - start)
    return 2 * count * SIDE**3 / min(seconds)


if __name__ == "__main__":
    main()
