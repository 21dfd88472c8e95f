"""Acting: many environments in lockstep, episodes ending where they may.

Letters of the shapes: t steps, b environments, n agents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from suasion.agents._trajectory import Trajectory
from suasion.games import Game, Step
from suasion.networks import Memory, Network, Observation, Policy, in_slots, log_probability, pairs_in_slots

# `script(key, state)`: actions of one environment's agents that do not come from the policy; -1 for those that do.
Script: TypeAlias = Callable[[Key[Array, ""], Any], Int[Array, " n"]]


class Tally(NamedTuple):
    """What the running episode of each environment has given so far.

    Attributes:
        returns: of every agent.
        events: sums over the steps, by name.
        steps: since the episode's start.
        whole: the episode began at its beginning; shortened first ones are not reported.
    """

    returns: Float[Array, "b n"]
    events: dict[str, Array]
    steps: Float[Array, " b"]
    whole: Bool[Array, " b"]


class Finished(NamedTuple):
    """Sums over the whole episodes that ended: divide by `episodes` (levels: by `steps`)."""

    episodes: Float[Array, ""]
    steps: Float[Array, ""]
    returns: Float[Array, " n"]
    events: dict[str, Array]


class Actors(NamedTuple):
    """Environments and agents between two steps.

    Attributes:
        state: of the games, each leaf [b, ...].
        memory: of the agents, each leaf [b, n, ...].
        last_actions: of the step before; the number of actions where an episode starts.
        last_messages: likewise; None without messages.
        start: a new episode begins with the next step.
        tally: of the running episodes.
    """

    state: Any
    memory: Memory
    last_actions: Int[Array, "b n"]
    last_messages: Int[Array, "b n"] | None
    start: Bool[Array, " b"]
    tally: Tally


class Acted(NamedTuple):
    """What `act` decided for every agent, by head, what it had seen, and what the encoder made of that."""

    memory: Memory
    observation: Observation
    features: Float[Array, "b n d"]
    symbols: dict[str, Int[Array, "b n"]]
    log_probabilities: dict[str, Float[Array, "b n"]]
    logits: dict[str, Float[Array, "b n a"]]
    values: dict[str, Float[Array, "b n"]]


def begin(
    game: Game, policy: Policy, params: Network, key: Key[Array, ""], environments: int, *, staggered: bool
) -> Actors:
    """Fresh environments and memories.

    Args:
        game: to be played.
        policy: that will act.
        params: its parameters; only shapes are read.
        key: of the first states.
        environments: b.
        staggered: start the clocks of the episodes at random, so that the environments do not all end together;
            the shortened first episodes are not reported. Needs a game with a horizon.
    """
    key_reset, key_clock = jax.random.split(key)
    state = jax.vmap(game.reset)(jax.random.split(key_reset, environments))
    whole = jnp.ones(environments, bool)
    if staggered and game.spec.horizon is not None:
        clock = jax.random.randint(key_clock, (environments,), 0, game.spec.horizon)
        state = state._replace(time=clock.astype(state.time.dtype))
        whole = clock == 0
    agents = game.spec.agents
    return Actors(
        state=state,
        memory=policy.initial(params, environments),
        last_actions=jnp.full((environments, agents), len(game.spec.actions), jnp.int32),
        last_messages=_no_messages(policy, environments),
        start=jnp.ones(environments, bool),
        tally=Tally(jnp.zeros((environments, agents)), _no_events(game, environments), jnp.zeros(environments), whole),
    )


def observe(game: Game, policy: Policy, actors: Actors) -> Observation:
    """What every agent knows before acting; nobody has acted yet in this step."""
    sight = jax.vmap(game.observe)(actors.state)
    nobody = jnp.full((*actors.last_actions.shape, game.spec.agents), len(game.spec.actions), jnp.int32)
    return Observation(
        codes=sight.codes,
        last_actions=in_slots(actors.last_actions),
        visible=pairs_in_slots(sight.visible),
        current_actions=nobody if len(policy.stages) > 1 else None,
        messages=None if actors.last_messages is None else in_slots(actors.last_messages),
        available=jax.vmap(game.available_actions)(actors.state),
    )


def act(
    policy: Policy,
    params: Network,
    memory: Memory,
    observation: Observation,
    start: Bool[Array, " b"],
    key: Key[Array, ""],
    *,
    greedy: bool = False,
    fixed: Int[Array, "b n"] | None = None,
) -> Acted:
    """Every agent acts, stage after stage; later stages see what earlier ones chose.

    Args:
        policy: definition.
        params: parameters.
        memory: before the step.
        observation: as `observe` gives it.
        start: where a new episode begins.
        key: of the samples.
        greedy: take the most probable symbol instead of sampling.
        fixed: actions that stand already; -1 where the policy chooses.
    """
    features = policy.features(params, observation)
    stage_of = policy.stage_of
    acted: Acted | None = None
    for stage, key_stage in enumerate(jax.random.split(key, len(policy.stages))):
        new, outputs = policy.step_from_features(params, memory, features, observation, start)
        keys = jax.random.split(key_stage, len(outputs))
        symbols = {
            head: jnp.argmax(output.logits, -1) if greedy else jax.random.categorical(k, output.logits)
            for (head, output), k in zip(outputs.items(), keys, strict=True)
        }
        if fixed is not None:
            symbols["action"] = jnp.where(fixed >= 0, fixed, symbols["action"])
        now = Acted(
            memory=new,
            observation=observation,
            features=policy.trunk.by_environment(features),
            symbols={head: symbol.astype(jnp.int32) for head, symbol in symbols.items()},
            log_probabilities=log_probability(outputs, symbols),
            logits={head: output.logits for head, output in outputs.items()},
            values={head: output.value for head, output in outputs.items()},
        )
        acted = now if acted is None else _of_stage(stage_of == stage, now, acted)
        if stage + 1 < len(policy.stages):
            shown = _shown(policy, acted.symbols["action"], stage + 1)
            observation = observation._replace(current_actions=shown)
    assert acted is not None  # for the type checker: there is at least one stage
    return acted


def rollout(
    game: Game,
    policy: Policy,
    params: Network,
    actors: Actors,
    key: Key[Array, ""],
    steps: int,
    *,
    states: bool = False,
    greedy: bool = False,
    script: Script | None = None,
) -> tuple[Actors, Trajectory, Finished]:
    """t steps of b environments.

    Where an episode ends, the value of the state reached is taken first (if it was truncated), then the environment
    is reset; memories are cleared by the policy when the next step starts.

    Args:
        game: to be played.
        policy: that acts.
        params: its parameters.
        actors: the environments before the first step.
        key: of all chance.
        steps: t.
        states: keep the game's states, so that steps can be played again.
        greedy: take the most probable symbols instead of sampling.
        script: chooses some agents' actions in the policy's place, from the whole state; others see them as any action.

    Returns:
        the environments after the last step, the trajectory (its `auxiliary` still empty), and what the episodes
        that ended have given.
    """
    environments = actors.start.shape[0]
    initial_memory = actors.memory
    key_policy, key_game, key_end, key_last, *key_script = jax.random.split(key, 4 if script is None else 5)
    # All keys before the loop: cheaper than splitting in every step.
    keys = (
        jax.random.split(key_policy, steps),
        jax.random.split(key_game, (steps, environments)),
        jax.random.split(key_end, steps),
        None if script is None else jax.random.split(key_script[0], (steps, environments)),
    )

    def one(carry: tuple[Actors, Finished], keys: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
        actors, finished = carry
        key_policy, keys_game, key_end, keys_script = keys
        seen = observe(game, policy, actors)
        fixed = None if script is None else jax.vmap(script)(keys_script, actors.state)
        acted = act(policy, params, actors.memory, seen, actors.start, key_policy, greedy=greedy, fixed=fixed)
        state, step = jax.vmap(game.step)(keys_game, actors.state, acted.symbols["action"])
        after, finished = _after(actors, acted, state, step, finished)
        value, after = _end(game, policy, params, after, step, key_end)
        return (after, finished), {
            "observation": acted.observation,
            "start": actors.start,
            "symbols": acted.symbols,
            "log_probabilities": acted.log_probabilities,
            "logits": acted.logits,
            "features": acted.features,
            "values": acted.values,
            "rewards": step.reward,
            "terminated": step.terminated,
            "truncated": step.truncated,
            "value_at_truncation": value,
            "events": step.events,
            "states": actors.state if states else None,
        }

    nothing = Finished(jnp.zeros(()), jnp.zeros(()), jnp.zeros(game.spec.agents), _no_events(game, None))
    (actors, finished), record = jax.lax.scan(one, (actors, nothing), keys)
    last = act(policy, params, actors.memory, observe(game, policy, actors), actors.start, key_last)
    trajectory = Trajectory(memory=initial_memory, bootstrap=last.values, key=keys[1], auxiliary={}, **record)
    return actors, trajectory, finished


def _after(actors: Actors, acted: Acted, state: Any, step: Step, finished: Finished) -> tuple[Actors, Finished]:
    """The environments after a step, not yet reset, and the episodes that it finished."""
    tally = actors.tally
    tally = Tally(
        returns=tally.returns + step.reward,
        events={name: tally.events[name] + step.events[name] for name in tally.events},
        steps=tally.steps + 1.0,
        whole=tally.whole,
    )
    ended = step.terminated | step.truncated
    report = jnp.where(ended & tally.whole, 1.0, 0.0)
    finished = Finished(
        episodes=finished.episodes + jnp.sum(report),
        steps=finished.steps + jnp.sum(report * tally.steps),
        returns=finished.returns + report @ tally.returns,
        events={name: finished.events[name] + report @ sums for name, sums in tally.events.items()},
    )
    empty = jax.tree.map(jnp.zeros_like, tally)
    fresh = empty._replace(whole=jnp.ones_like(ended))
    after = Actors(
        state=state,
        memory=acted.memory,
        last_actions=acted.symbols["action"],
        last_messages=acted.symbols.get("message"),
        start=ended,
        tally=_choose(ended, fresh, tally),
    )
    return after, finished


def _end(
    game: Game, policy: Policy, params: Network, after: Actors, step: Step, key: Key[Array, ""]
) -> tuple[dict[str, Float[Array, "b n"]], Actors]:
    """The values of truncated states, and the environments with those that ended reset.

    Both are done only on steps on which some episode ends.
    """
    environments = after.start.shape[0]
    ended = after.start

    def some(after: Actors) -> tuple[dict[str, Array], Actors]:
        key_value, key_reset = jax.random.split(key)
        goes_on = jnp.zeros_like(ended)
        reached = act(policy, params, after.memory, observe(game, policy, after), goes_on, key_value).values
        reached = {
            head: jnp.where(step.truncated[:, None] & ~step.terminated[:, None], value, 0.0)
            for head, value in reached.items()
        }
        fresh = jax.vmap(game.reset)(jax.random.split(key_reset, environments))
        none = jnp.full_like(after.last_actions, len(game.spec.actions))
        return reached, after._replace(
            state=_choose(ended, fresh, after.state),
            last_actions=_choose(ended, none, after.last_actions),
            last_messages=_choose(ended, _no_messages(policy, environments), after.last_messages),
        )

    def none(after: Actors) -> tuple[dict[str, Array], Actors]:
        return {head: jnp.zeros((environments, game.spec.agents)) for head in policy.heads}, after

    return jax.lax.cond(jnp.any(ended), some, none, after)


def _of_stage(mask: np.ndarray, now: Acted, before: Acted) -> Acted:
    """For the agents of this stage what they decided now; for the others what they had decided before."""

    def merge(new: Array, old: Array) -> Array:
        return jnp.where(mask.reshape(1, -1, *(1,) * (new.ndim - 2)), new, old)

    return jax.tree.map(merge, now, before)


def _shown(policy: Policy, actions: Int[Array, "b n"], stage: int) -> Int[Array, "b n n"]:
    """Current actions as the agents of `stage` and before may see them: those of earlier stages than their own."""
    stage_of = policy.stage_of
    others = in_slots(jnp.asarray(stage_of))
    seen = (others < jnp.asarray(stage_of)[:, None]) & (others < stage)
    return jnp.where(seen[None], in_slots(actions), len(policy.spec.actions))


def _choose(where: Bool[Array, " b"], yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(where.reshape(-1, *(1,) * (a.ndim - 1)), a, b), yes, no)


def _no_messages(policy: Policy, environments: int) -> Array | None:
    if not policy.config.vocabulary:
        return None
    return jnp.full((environments, policy.spec.agents), policy.config.vocabulary, jnp.int32)


def _no_events(game: Game, environments: int | None) -> dict[str, Array]:
    batch = () if environments is None else (environments,)
    agents = game.spec.agents
    return {e.name: jnp.zeros((*batch, agents) if e.per_agent else batch) for e in game.spec.events}
