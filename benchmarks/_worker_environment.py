"""Worker: a batch of our game under `vmap` inside a jitted `lax.scan`, with uniformly random actions.

Every step draws actions, advances, resets the environments whose episodes ended (under a condition, as training does)
and observes. Observations are carried from step to step, and every one of them enters a sum that is read back.
"""

from __future__ import annotations

from typing import Any

from benchmarks._measure import arguments, tell, timed
from benchmarks._prepare import prepare

BATCH, AGENTS, SCAN = 64, 5, 1000


def main() -> None:
    given = arguments(__doc__, "game")
    prepare()
    import jax
    import jax.numpy as jnp

    from suasion.games import make

    game = make(given.game, size="paper", agents=AGENTS)
    actions, horizon = len(game.spec.actions), game.spec.horizon
    if horizon is None:
        raise RuntimeError(f"{given.game} has no horizon: no episode would end")

    def reset(key: Any) -> Any:
        """The first states; the clocks start at random, so that episodes end one by one as in training."""
        key_reset, key_clock = jax.random.split(key)
        state = jax.vmap(game.reset)(jax.random.split(key_reset, BATCH))
        return state._replace(time=jax.random.randint(key_clock, (BATCH,), 0, horizon).astype(state.time.dtype))

    def one(carry: tuple[Any, ...], key: Any) -> tuple[tuple[Any, ...], None]:
        state, _, seen, reward = carry
        key_actions, key_step, key_reset = jax.random.split(key, 3)
        chosen = jax.random.randint(key_actions, (BATCH, AGENTS), 0, actions)
        state, step = jax.vmap(game.step)(jax.random.split(key_step, BATCH), state, chosen)
        ended = step.terminated | step.truncated

        def some(state: Any) -> Any:
            fresh = jax.vmap(game.reset)(jax.random.split(key_reset, BATCH))
            return jax.tree.map(lambda a, b: jnp.where(ended.reshape(-1, *(1,) * (a.ndim - 1)), a, b), fresh, state)

        state = jax.lax.cond(jnp.any(ended), some, lambda state: state, state)
        sight = jax.vmap(game.observe)(state)
        seen = seen + jnp.sum(sight.codes, dtype=jnp.uint32) + jnp.sum(sight.visible, dtype=jnp.uint32)
        return (state, sight, seen, reward + jnp.sum(step.reward)), None

    @jax.jit
    def run(state: Any, key: Any) -> tuple[Any, ...]:
        carry = (state, jax.vmap(game.observe)(state), jnp.zeros((), jnp.uint32), jnp.zeros(()))
        return jax.lax.scan(one, carry, jax.random.split(key, SCAN))[0]

    state = jax.jit(reset)(jax.random.key(0))
    turns = 0

    def turn() -> int:
        nonlocal state, turns
        turns += 1
        state, _, seen, _ = jax.block_until_ready(run(state, jax.random.key(turns)))
        if not int(seen):
            raise RuntimeError("nothing was observed")
        return BATCH * SCAN

    tell(**timed(turn, given.seconds), view=game.spec.view, jax=jax.__version__)


if __name__ == "__main__":
    main()
