"""Worker: where the time of an update goes: each part alone, on one device, over chunks as the learner makes them.

Parts overlap: an update is a rollout, a policy gradient (encoder, core, heads; forward and back) and the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks._measure import arguments, tell, timed
from benchmarks._prepare import prepare


def main() -> None:
    given = arguments(__doc__)
    prepare()
    import jax

    from suasion.runs import build, configure

    experiment = build(configure("cleanup", size="paper"))
    experiment = dataclasses.replace(experiment, config=dataclasses.replace(experiment.config, shards=1))
    if experiment.policy.alphabets or experiment.policy.groups == 1:
        raise RuntimeError("the profile is of independent agents that read their views alone")
    agent_steps = experiment.config.steps_per_update * experiment.game.spec.agents
    figures = {}
    for name, (f, args) in parts(experiment).items():
        compiled = jax.jit(f)

        def turn(compiled: Any = compiled, args: Any = args) -> int:
            jax.block_until_ready(compiled(*args))
            return agent_steps

        figures[name] = timed(turn, given.seconds)
    tell(parts=figures)


def parts(experiment: Any) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """What is measured: functions to compile and their arguments."""
    import jax
    import jax.numpy as jnp

    from suasion.agents import init, rollout, update
    from suasion.networks import CoreInput, log_probability

    game, policy, config = experiment.game, experiment.policy, experiment.config
    learner = jax.jit(init, static_argnums=0)(experiment, jax.random.key(0))
    network = learner.params.policy

    def roll(network: Any, actors: Any, key: Any) -> Any:
        return rollout(game, policy, network, actors, key, config.steps)

    _, trajectory, _ = jax.jit(roll)(network, learner.actors, learner.key)
    chunk = config.chunk or config.environments

    def chunks(tree: Any, axis: int) -> Any:
        """Chunks of environments as the first axis of every array."""

        def split(x: Any) -> Any:
            x = x.reshape(*x.shape[:axis], -1, chunk, *x.shape[axis + 1 :])
            return jnp.moveaxis(x, axis, 0)

        return jax.tree.map(split, tree)

    def over(f: Callable[..., Any]) -> Callable[..., Any]:
        """f on every chunk, one after the other."""
        return lambda weights, *each: jax.lax.map(lambda part: f(weights, *part), each)

    def gradient(f: Callable[..., Any]) -> Callable[..., Any]:
        """The gradient of f's outputs times themselves, summed over the chunks."""

        def pull(weights: Any, *part: Any) -> Any:
            y, back = jax.vjp(lambda weights: f(weights, *part), weights)
            return back(y)[0]

        def total(weights: Any, *each: Any) -> Any:
            def add(carry: Any, part: Any) -> tuple[Any, None]:
                return jax.tree.map(jnp.add, carry, pull(weights, *part)), None

            return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, weights), each)[0]

        return total

    def encode(encoder: Any, observation: Any) -> Any:
        return policy.features(dataclasses.replace(network, encoder=encoder), observation)

    def remember(core: Any, features: Any, memory: Any, start: Any) -> Any:
        rows = jnp.zeros((*features.shape[:-1], 0), jnp.int32)
        starts = jnp.broadcast_to(start, (features.shape[0], *start.shape))
        inputs = CoreInput(features, rows)
        return jax.vmap(lambda core, *args: core.scan(*args))(core, memory, inputs, starts)[1]

    def remember_features(both: Any, memory: Any, start: Any) -> Any:
        return remember(both[0], both[1], memory, start)

    def decide(network: Any, observation: Any, memory: Any, start: Any, symbols: Any) -> Any:
        _, outputs = policy.unroll(network, memory, observation, start)
        return log_probability(outputs, symbols), {head: output.value for head, output in outputs.items()}

    observation = chunks(trajectory.observation, 1)
    start, symbols = chunks(trajectory.start, 1), chunks(trajectory.symbols, 1)
    memory = chunks(trajectory.memory, 0)
    by_group = jax.tree.map(lambda x: jnp.moveaxis(x, 2, 1), memory)
    features = jax.jit(over(encode))(network.encoder, observation)

    def core_gradient(core: Any, features: Any, memory: Any, start: Any) -> Any:
        """By the weights and by the features, as the encoder needs it."""

        def one(part: Any) -> Any:
            features, memory, start = part
            y, back = jax.vjp(lambda both: remember_features(both, memory, start), (core, features))
            return back(y)[0]

        by_weights, by_features = jax.lax.map(one, (features, memory, start))
        return jax.tree.map(lambda x: jnp.sum(x, 0), by_weights), by_features

    return {
        "rollout": (roll, (network, learner.actors, learner.key)),
        "encoder, forward": (over(encode), (network.encoder, observation)),
        "encoder, forward and gradient": (gradient(encode), (network.encoder, observation)),
        "core, forward": (over(remember), (network.core, features, by_group, start)),
        "core, forward and gradient": (core_gradient, (network.core, features, by_group, start)),
        "policy, forward and gradient": (gradient(decide), (network, observation, memory, start, symbols)),
        "update": (lambda learner: update(experiment, learner), (learner,)),
    }


if __name__ == "__main__":
    main()
