"""Where the counterfactuals come from: another's policy that sees the action, a model of it, or the game played again.

Each knows two ways: `imagine` averages over the alternatives as it makes them, for a whole trajectory, as learning
needs it; `steps` and `alternatives` give them one by one, for the moments that somebody wants to look at.

Letters of the shapes: t steps, b environments, n agents; k influences j; a actions, c counterfactual actions of k.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from suasion.agents import Experiment, Params, Trajectory
from suasion.games import Game
from suasion.influence._divergence import Imagined, averaged, by_pair, over_steps
from suasion.influence._model import ModelOfOthers
from suasion.influence._native import imagined_in_one_pass, one_pass
from suasion.networks import LSTM, Dense, Network, Observation, Policy, in_slots, pairs_in_slots


@runtime_checkable
class Counterfactual(Protocol):
    """A way to know what j would have done: frozen, hashable, pure."""

    @property
    def ahead(self) -> int:
        """Steps between the symbol of k and the action of j that it is about: 0 or 1."""
        ...

    @property
    def head(self) -> str:
        """The head of k whose symbols are varied, and which influence pays: `action` or `message`."""
        ...

    def reaches(self, policy: Policy) -> Bool[np.ndarray, "k j"]:
        """Whose actions can be imagined to change whose.

        Raises:
            ValueError: the policy is not made for it.
        """
        ...

    def imagine(
        self, params: Params, policy: Policy, trajectory: Trajectory, weights: Float[Array, "t b n c"]
    ) -> Imagined:
        """What every j would do, given what k did and averaged over k's alternatives.

        Args:
            params: all that is learned.
            policy: the definition.
            trajectory: all environments, as acted, with features.
            weights: of every agent's counterfactual symbols, sums of 1.
        """
        ...


@runtime_checkable
class Tabled(Protocol):
    """A counterfactual that can be asked for its alternatives one by one, of the steps that are wanted only."""

    def steps(self, experiment: Experiment, params: Params, trajectory: Trajectory) -> Any:
        """What the alternatives of every step are made of: a tree of arrays [t, b, ...].

        Args:
            experiment: that was trained.
            params: all that is learned.
            trajectory: whole episodes, with features; for a simulator with the game's states.

        Raises:
            ValueError: something is missing in the trajectory or the experiment.
        """
        ...

    def alternatives(self, experiment: Experiment, params: Params, now: Any) -> Float[Array, "c b k j a"]:
        """Logits of every j's action, had every k chosen each symbol c of the head that is varied: of one step (entries
        k = j mean nothing).

        Args:
            experiment: that was trained.
            params: all that is learned.
            now: one step of `steps`, [b, ...]; b may be any moments, also several of one episode.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Basic:
    """Experiment I: j's own policy, which reads the actions that agents of earlier stages take in the same step.

    Every alternative is the swap of one row of the input product. An effect that goes through the world, later, is
    not seen.

    References:
        Jaques et al. (2019), section 3.
    """

    @property
    def ahead(self) -> int:
        """The same step."""
        return 0

    @property
    def head(self) -> str:
        """Actions."""
        return "action"

    def reaches(self, policy: Policy) -> Bool[np.ndarray, "k j"]:
        """Agents of earlier stages reach those of later ones."""
        if len(policy.stages) < 2:
            raise ValueError("basic influence needs influencers that act before the others: give the policy stages")
        return policy.stage_of[:, None] < policy.stage_of[None, :]

    def imagine(
        self, params: Params, policy: Policy, trajectory: Trajectory, weights: Float[Array, "t b n c"]
    ) -> Imagined:
        """See `Counterfactual`."""
        actions = trajectory.symbols["action"]
        return as_read(params.policy, policy, trajectory, "current_actions", weights, actions)

    def steps(self, experiment: Experiment, params: Params, trajectory: Trajectory) -> Any:
        """See `Tabled`: every agent's memory, features and observation."""
        before = memories(params.policy, experiment.policy, trajectory)[1]
        return before, trajectory.features, trajectory.observation

    def alternatives(self, experiment: Experiment, params: Params, now: Any) -> Float[Array, "c b k j a"]:
        """See `Tabled`."""
        return asked(params.policy, experiment.policy, now, "current_actions")


@dataclasses.dataclass(frozen=True)
class Foreseen:
    """Experiment III: what k's own model of the others foresees for the next step.

    Attributes:
        model: name of the auxiliary loss that is the model.
    """

    model: str = "model"

    @property
    def ahead(self) -> int:
        """The next step."""
        return 1

    @property
    def head(self) -> str:
        """Actions."""
        return "action"

    def reaches(self, policy: Policy) -> Bool[np.ndarray, "k j"]:
        """Everybody reaches everybody else."""
        return ~np.eye(policy.spec.agents, dtype=bool)

    def imagine(
        self, params: Params, policy: Policy, trajectory: Trajectory, weights: Float[Array, "t b n c"]
    ) -> Imagined:
        """What the model has observed; its weights are exact."""
        if self.model not in trajectory.auxiliary:
            raise ValueError(f"there is no model of others called {self.model!r} to ask")
        return trajectory.auxiliary[self.model]

    def steps(self, experiment: Experiment, params: Params, trajectory: Trajectory) -> Any:
        """See `Tabled`: the models' memory, the policies' features and what the models read.

        The trajectory must begin with an episode: the models' memory before it is not known.
        """
        model, policy = self._model(experiment), experiment.policy
        memory = model.initial(policy, trajectory.start.shape[1])
        return model.steps(params.auxiliary[self.model], memory, policy, trajectory)

    def alternatives(self, experiment: Experiment, params: Params, now: Any) -> Float[Array, "c b k j a"]:
        """See `Tabled`."""
        logits = self._model(experiment).foresee(params.auxiliary[self.model], experiment.policy, now)
        return by_pair(logits)

    def _model(self, experiment: Experiment) -> ModelOfOthers:
        model = dict(experiment.auxiliary).get(self.model)
        if not isinstance(model, ModelOfOthers):
            raise ValueError(f"there is no model of others called {self.model!r} to ask")
        return model


@dataclasses.dataclass(frozen=True)
class Simulated:
    """The exact effect on the next step: the step is played again, same state and chance, for every action of k.

    Each resulting state is shown to j's real policy with its real memory. It costs, for every influencer, as many
    steps and passes of everybody's network as there are actions.

    Attributes:
        game: that is played.
        influencers: whose actions are varied; for the others everything is uniform, and nothing is influence.
    """

    game: Game
    influencers: tuple[int, ...]

    @property
    def ahead(self) -> int:
        """The next step."""
        return 1

    @property
    def head(self) -> str:
        """Actions."""
        return "action"

    def reaches(self, policy: Policy) -> Bool[np.ndarray, "k j"]:
        """Influencers reach everybody else."""
        if len(policy.stages) > 1:
            raise ValueError("the simulator does not know what earlier stages will do in the next step: one stage only")
        agents = policy.spec.agents
        acts = np.isin(np.arange(agents), self.influencers)
        return acts[:, None] & ~np.eye(agents, dtype=bool)

    def imagine(
        self, params: Params, policy: Policy, trajectory: Trajectory, weights: Float[Array, "t b n c"]
    ) -> Imagined:
        """See `Counterfactual`."""

        def one(now: Any) -> tuple[Array, Array]:
            states, key, actions, messages, memory, weights = now
            logits = self._alternatives(params.policy, policy, states, key, actions, messages, memory)
            pairs = [
                averaged(logits[index], weights[:, k].T[:, :, None], actions[:, k, None])
                for index, k in enumerate(self.influencers)
            ]
            actual, marginal = (jnp.stack(part, 1) for part in zip(*pairs, strict=True))
            shape = (actual.shape[0], policy.spec.agents, *actual.shape[2:])
            everybody = jnp.full(shape, -np.log(shape[-1]), jnp.float32)
            rows = np.array(self.influencers)
            return everybody.at[:, rows].set(actual), everybody.at[:, rows].set(marginal)

        steps = (*self._steps(params, policy, trajectory), weights)
        return Imagined(*jax.lax.map(one, steps))

    def _alternatives(
        self,
        params: Network,
        policy: Policy,
        states: Any,
        key: Array,
        actions: Int[Array, "b n"],
        messages: Int[Array, "b n"] | None,
        memory: Any,
    ) -> Float[Array, "k c b j a"]:
        """Everybody's logits in the state that follows, for every action of every influencer."""
        size, count = len(policy.spec.actions), len(self.influencers)
        rows = np.array(self.influencers)[:, None]
        choices = jnp.broadcast_to(jnp.arange(size)[None, :, None], (count, size, actions.shape[0]))
        tried = jnp.broadcast_to(actions[None, None], (count, size, *actions.shape))
        tried = tried.at[np.arange(count)[:, None], np.arange(size)[None, :], :, rows].set(choices)

        def foresee(tried: Int[Array, "b n"]) -> Array:
            following, _ = jax.vmap(self.game.step)(key, states, tried)
            sight = jax.vmap(self.game.observe)(following)
            observation = Observation(
                codes=sight.codes,
                last_actions=in_slots(tried),
                visible=pairs_in_slots(sight.visible),
                current_actions=None,
                messages=None if messages is None else in_slots(messages),
                available=jax.vmap(self.game.available_actions)(following),
            )
            goes_on = jnp.zeros(tried.shape[0], bool)
            _, outputs = policy.step(params, memory, observation, goes_on)
            return outputs["action"].logits

        flat = jax.lax.map(foresee, tried.reshape(count * size, *actions.shape))
        return flat.reshape(count, size, *flat.shape[1:])

    def _steps(self, params: Params, policy: Policy, trajectory: Trajectory) -> tuple[Any, ...]:
        """States and chance of the game, actions, messages, and everybody's memory after each step."""
        if trajectory.states is None:
            raise ValueError("the simulator needs the game's states: ask the rollout for them")
        last, before = memories(params.policy, policy, trajectory)
        after = jax.tree.map(lambda m, end: jnp.concatenate([m[1:], end[None]]), before, last)
        symbols = trajectory.symbols
        return trajectory.states, trajectory.key, symbols["action"], symbols.get("message"), after

    def steps(self, experiment: Experiment, params: Params, trajectory: Trajectory) -> Any:
        """See `Tabled`: the game's states and chance, what was done, and everybody's memory after it."""
        return self._steps(params, experiment.policy, trajectory)

    def alternatives(self, experiment: Experiment, params: Params, now: Any) -> Float[Array, "c b k j a"]:
        """See `Tabled`; uniform for agents that are no influencers."""
        known = jnp.moveaxis(self._alternatives(params.policy, experiment.policy, *now), 0, 2)
        shape = (*known.shape[:2], experiment.policy.spec.agents, *known.shape[3:])
        return jnp.zeros(shape, jnp.float32).at[:, :, np.array(self.influencers)].set(known)


def as_read(
    network: Network,
    policy: Policy,
    trajectory: Trajectory,
    field: str,
    weights: Float[Array, "s b n c"],
    symbols: Int[Array, "s b n"],
) -> Imagined:
    """What every j would do for every symbol of k that it reads: each is the swap of one row of the input product.

    Args:
        network: the policies' parameters.
        policy: the definition.
        trajectory: of which the last s steps are asked about.
        field: of the observation, that holds the symbols.
        weights: of every agent's counterfactual symbols, as they are read in these steps.
        symbols: the real ones.
    """
    if one_pass(network.core):
        return _read_in_one_pass(network, network.core, policy, trajectory, field, weights, symbols)
    before, features = memories(network, policy, trajectory)[1], features_of(policy, trajectory)
    first = len(trajectory.start) - len(weights)
    steps = jax.tree.map(lambda x: x[first:], (before, jnp.moveaxis(features, 1, 0), trajectory.observation))

    def one(now: Any) -> tuple[Array, Array]:
        (memory, features, observation), weights, symbols = now
        each = [
            averaged(
                policy.alternatives(network, memory, features, observation, field=field, slot=slot)["action"],
                jnp.moveaxis(jnp.roll(weights, -slot, 1), -1, 0),
                jnp.roll(symbols, -slot, 1),
            )
            for slot in range(1, policy.spec.agents)
        ]
        # From j with k in slots to pairs k, j.
        actual, marginal = (jnp.swapaxes(by_pair(jnp.stack(part, 2)), 1, 2) for part in zip(*each, strict=True))
        return actual, marginal

    numbers = 4 * policy.config.width * symbols[0].size * weights.shape[-1]
    return Imagined(*over_steps(one, (steps, weights, symbols), numbers))


def _read_in_one_pass(
    network: Network, core: LSTM, policy: Policy, trajectory: Trajectory, field: str, weights: Array, symbols: Array
) -> Imagined:
    """`as_read`, without the alternatives ever being written down."""
    action, slots = network.heads["action"], range(1, policy.spec.agents)
    first = len(trajectory.start) - len(weights)
    _, *both = imagined_in_one_pass(
        policy.trunk,
        core,
        Dense(weight=action.weight[..., :-1], bias=action.bias[..., :-1]),  # without the value
        trajectory.memory,
        features_of(policy, trajectory),
        trajectory.observation,
        trajectory.start,
        field=field,
        slots=tuple(slots),
        weights=jnp.stack([jnp.roll(weights, -slot, 2) for slot in slots], 3),
        chosen=jnp.stack([jnp.roll(symbols, -slot, 2) for slot in slots], 3),
        available=trajectory.observation.available[first:],
    )
    # From j with k in slots to pairs k, j.
    return Imagined(*(jnp.swapaxes(by_pair(part[..., 0, :]), 2, 3) for part in both))


def asked(network: Network, policy: Policy, now: Any, field: str) -> Float[Array, "c b k j a"]:
    """Logits of every j's action for every symbol of k that it reads, one by one.

    Args:
        network: the policies' parameters.
        policy: the definition.
        now: of one step, the memories before it, features [b, n, d] and observations.
        field: of the observation, that holds the symbols.
    """
    memory, features, observation = now
    features = policy.trunk.by_group(features, 2)
    each = [
        policy.alternatives(network, memory, features, observation, field=field, slot=slot)["action"]
        for slot in range(1, policy.spec.agents)
    ]
    # From j with k in slots to pairs k, j.
    return jnp.swapaxes(by_pair(jnp.stack(each, 3)), 2, 3)


def features_of(policy: Policy, trajectory: Trajectory) -> Float[Array, "g t m d"]:
    """The policy's own features of a trajectory, sets of parameters first."""
    if trajectory.features is None:
        raise ValueError("the trajectory has lost its features")
    return policy.trunk.by_group(trajectory.features, 2)


def memories(params: Network, policy: Policy, trajectory: Trajectory) -> tuple[Any, Any]:
    """The policies' memories after the trajectory, and before each of its steps."""
    features = features_of(policy, trajectory)
    return policy.memories(params, trajectory.memory, features, trajectory.observation, trajectory.start)
