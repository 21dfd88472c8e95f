"""Worker: CPU and wall time of an update with a mode of influence, and of the counterfactuals alone."""

from __future__ import annotations

from typing import Any

from benchmarks._measure import arguments, tell, timed


def main() -> None:
    given = arguments(__doc__, "game", "size", "mode")
    from suasion.cli import prepare_environment

    prepare_environment()
    import jax

    from suasion.agents import init, update
    from suasion.runs import build, configure

    influence = None if given.mode == "none" else {"mode": given.mode}
    config = configure(given.game, size=given.size, influence=influence, steps=10_000_000)
    experiment = build(config)
    learner = jax.jit(init, static_argnums=0)(experiment, jax.random.key(0))
    on = jax.jit(update, static_argnums=0)
    agent_steps = config.learner.steps_per_update * experiment.game.spec.agents

    def turn() -> int:
        nonlocal learner
        learner, report = on(experiment, learner)
        jax.block_until_ready((learner, report))
        return agent_steps

    figures: dict[str, Any] = {"update": timed(turn, given.seconds), "config": config.to_json()}
    if given.mode == "model":
        figures |= parts(experiment, learner, config, given.seconds)
    tell(**figures)


def parts(experiment: Any, learner: Any, config: Any, seconds: float) -> dict[str, Any]:
    """The model of others: its memories, the alternatives by the swap of a row, and by a pass for each action.

    On one device, on the environments that one device has in an update.
    """
    import jax
    import jax.numpy as jnp

    from suasion import agents
    from suasion.networks import in_slots

    policy, ((_, model),) = experiment.policy, experiment.auxiliary
    here = config.learner.environments // config.learner.shards
    params, auxiliary = learner.params.policy, learner.params.auxiliary["model"]
    # Copies on one device: the learner's own are spread.
    params, auxiliary = jax.tree.map(lambda x: jax.device_put(x, jax.devices()[0]), (params, auxiliary))
    actors = agents.begin(experiment.game, policy, params, jax.random.key(1), here, staggered=True)
    roll = jax.jit(
        lambda params, actors: agents.rollout(
            experiment.game, policy, params, actors, jax.random.key(2), config.learner.steps
        )[1]
    )
    trajectory = roll(params, actors)
    memory = model.initial(policy, here)
    trunk = model.trunk(policy)
    count = len(policy.spec.actions)

    def remember(auxiliary: Any, trajectory: Any) -> Any:
        features = model._features(auxiliary, policy, trajectory.observation, shared(trajectory))
        return trunk.memories(auxiliary.core, memory, features, model._observation(trajectory), trajectory.start)

    def shared(trajectory: Any) -> Any:
        return policy.trunk.by_group(trajectory.features, 2)

    def swapped(auxiliary: Any, trajectory: Any) -> Any:
        return model.observe(auxiliary, memory, params, policy, trajectory)

    def naive(auxiliary: Any, trajectory: Any) -> Any:
        """Every step of every alternative a pass of the whole core."""
        features = model._features(auxiliary, policy, trajectory.observation, shared(trajectory))
        observation = model._observation(trajectory)
        last, before = trunk.memories(auxiliary.core, memory, features, observation, trajectory.start)
        never = jnp.zeros(here, bool)

        def step(now: Any) -> Any:
            before, features, actions, observation = now

            def one(action: Any) -> Any:
                mine = in_slots(actions).at[..., 0].set(action)
                _, y = trunk.step(auxiliary.core, before, features, observation._replace(current_actions=mine), never)
                return model._logits(auxiliary, policy, y)

            logits = jax.lax.map(one, jnp.arange(count))
            return jax.nn.log_softmax(logits)

        steps = (before, jnp.moveaxis(features, 1, 0), trajectory.symbols["action"], observation)
        return last, jax.lax.map(step, steps)

    agent_steps = here * config.learner.steps * policy.spec.agents
    figures = {}
    for name, f in (("remember", remember), ("swapped", swapped), ("naive", naive)):
        compiled = jax.jit(f)

        def turn(compiled: Any = compiled) -> int:
            jax.block_until_ready(compiled(auxiliary, trajectory))
            return agent_steps

        figures[name] = timed(turn, seconds)
    return figures


if __name__ == "__main__":
    main()
