"""Worker: SocialJax from a checkout: its own `step` under `vmap` inside a jitted `lax.scan`, random actions.

The same loop as ours: actions drawn in one call, observations carried from step to step and summed; the reset after
an end is the peer's own, inside its `step`. Its default observation (11 x 11).
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks._measure import arguments, tell, timed

BATCH, AGENTS, SCAN = 64, 5, 250
NAMES = {"cleanup": "clean_up", "harvest": "harvest_common_open"}


def main() -> None:
    given = arguments(__doc__, "checkout", "game")
    sys.path.insert(0, given.checkout)
    import jax
    import jax.numpy as jnp
    import socialjax

    env = socialjax.make(NAMES[given.game], num_agents=AGENTS)
    actions = env.action_space().n

    def one(carry: tuple[Any, ...], key: Any) -> tuple[tuple[Any, ...], None]:
        state, _, seen, reward = carry
        key_actions, key_step = jax.random.split(key)
        chosen = jax.random.randint(key_actions, (BATCH, AGENTS), 0, actions)
        sight, state, paid, _, _ = jax.vmap(env.step)(jax.random.split(key_step, BATCH), state, chosen)
        return (state, sight, seen + jnp.sum(sight, dtype=jnp.int32), reward + jnp.sum(paid, dtype=jnp.float32)), None

    @jax.jit
    def run(sight: Any, state: Any, key: Any) -> tuple[Any, ...]:
        carry = (state, sight, jnp.zeros((), jnp.int32), jnp.zeros(()))
        return jax.lax.scan(one, carry, jax.random.split(key, SCAN))[0]

    sight, state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(0), BATCH))
    view = sight.shape[2:4]
    turns = 0

    def turn() -> int:
        nonlocal sight, state, turns
        turns += 1
        state, sight, seen, _ = jax.block_until_ready(run(sight, state, jax.random.PRNGKey(turns)))
        if not int(seen):
            raise RuntimeError("nothing was observed")
        return BATCH * SCAN

    tell(**timed(turn, given.seconds), view=view, jax=jax.__version__)


if __name__ == "__main__":
    main()
