"""Where the counterfactuals come from: another's policy that sees the action, a model of it, or the game played again.

Letters of the shapes: t steps, b environments, n agents; k influences j; a actions, c counterfactual actions of k.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from suasion.agents import Params, Trajectory
from suasion.games import Game
from suasion.influence._divergence import Imagined, averaged, by_pair, over_steps
from suasion.networks import Network, Observation, Policy, in_slots, pairs_in_slots


@runtime_checkable
class Counterfactual(Protocol):
    """A way to know what j would have done: frozen, hashable, pure."""

    @property
    def ahead(self) -> int:
        """Steps between the action of k and the action of j that it is about: 0 or 1."""
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
            weights: of every agent's counterfactual actions, sums of 1.
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

    def reaches(self, policy: Policy) -> Bool[np.ndarray, "k j"]:
        """Agents of earlier stages reach those of later ones."""
        if len(policy.stages) < 2:
            raise ValueError("basic influence needs influencers that act before the others: give the policy stages")
        return policy.stage_of[:, None] < policy.stage_of[None, :]

    def imagine(
        self, params: Params, policy: Policy, trajectory: Trajectory, weights: Float[Array, "t b n c"]
    ) -> Imagined:
        """See `Counterfactual`."""
        before, features = _before(params.policy, policy, trajectory)[1], _features(policy, trajectory)
        agents = policy.spec.agents

        def one(now: Any) -> tuple[Array, Array]:
            memory, features, observation, weights, actions = now
            each = [
                averaged(
                    policy.alternatives(
                        params.policy, memory, features, observation, field="current_actions", slot=slot
                    )["action"],
                    jnp.moveaxis(jnp.roll(weights, -slot, 1), -1, 0),
                    jnp.roll(actions, -slot, 1),
                )
                for slot in range(1, agents)
            ]
            # From j with k in slots to pairs k, j.
            actual, marginal = (jnp.swapaxes(by_pair(jnp.stack(part, 2)), 1, 2) for part in zip(*each, strict=True))
            return actual, marginal

        features = jnp.moveaxis(features, 1, 0)
        actions = trajectory.symbols["action"]
        numbers = 4 * policy.config.width * actions[0].size * len(policy.spec.actions)
        steps = (before, features, trajectory.observation, weights, actions)
        return Imagined(*over_steps(one, steps, numbers))


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
        if trajectory.states is None:
            raise ValueError("the simulator needs the game's states: ask the rollout for them")
        last, before = _before(params.policy, policy, trajectory)
        after = jax.tree.map(lambda m, end: jnp.concatenate([m[1:], end[None]]), before, last)

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

        messages = trajectory.symbols.get("message")
        steps = (trajectory.states, trajectory.key, trajectory.symbols["action"], messages, after, weights)
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


def _features(policy: Policy, trajectory: Trajectory) -> Float[Array, "g t m d"]:
    if trajectory.features is None:
        raise ValueError("the trajectory has lost its features")
    return policy.trunk.by_group(trajectory.features, 2)


def _before(params: Network, policy: Policy, trajectory: Trajectory) -> tuple[Any, Any]:
    """The policies' memories after the trajectory, and before each of its steps."""
    features = _features(policy, trajectory)
    return policy.memories(params, trajectory.memory, features, trajectory.observation, trajectory.start)
