r"""A model of other agents: what will they do next, if I do this?

Agent k reads its own view and everybody's actions of step t, keeps a memory of its own, and predicts the action of
every other agent in step t + 1. It is trained as an auxiliary loss; imagining other own actions is the swap of one row
of its input product.

Letters of the shapes: t steps, b environments, n agents, g sets of parameters, m rows of a set, d features,
o other agents in slots 1..n-1; k influences j; a actions, c counterfactual actions.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from suasion.agents import AuxiliaryLoss, Metric, Optimiser, Ratio, Trajectory, constant
from suasion.influence._divergence import Imagined, averaged, by_pair, over_steps, weights
from suasion.influence._native import imagined_in_one_pass, one_pass
from suasion.networks import LSTM, Core, CoreKind, Dense, Encoder, Memory, Network, Observation, Policy, Trunk, in_slots

_OWN = 0  # one's own slot


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network and the learning of a model of others.

    Attributes:
        encoder: `shared` (the policy's own features, which its loss shapes too), or one of its own: `convolution` or
            `classes`, see `PolicyConfig`.
        filters: of its own convolution.
        hidden: units of the dense layers before the memory (after the shared features, where shared).
        core: the memory, see `PolicyConfig`.
        width: units of the memory.
        visible_only: learn from the agents that are in view alone; the loss, and with it the gradient before it is
            clipped, shrinks with their share.
        optimiser: of the model. It must learn faster than the policy: influence is paid for what it foresees.
    """

    encoder: Literal["shared", "convolution", "classes"] = "shared"
    filters: int = 6
    hidden: tuple[int, ...] = (32,)
    core: CoreKind = "lstm"
    width: int = 64
    visible_only: bool = False
    optimiser: Optimiser = Optimiser(learning_rate=constant(5e-3))


class ModelNetwork(eqx.Module):
    """The parameters: sets of parameters in front of every array, as in `Network`."""

    encoder: Encoder | None
    layers: tuple[Dense, ...]
    core: Core
    head: Dense


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOfOthers(AuxiliaryLoss):
    r"""Every agent's model of the others, trained by cross-entropy on what they did.

    $p^k_t(a^j_{t+1} \mid a_t, s^k_t)$ for all j; the loss is the mean of $-\log p^k_t(a^j_{t+1})$ over all steps
    and others. Those that do not count are 0 in it: where the episode ended with step t, at the trajectory's end, whose
    next action is not known yet, and with `visible_only` others out of view. So the loss is the cross-entropy of those
    that count times their share, and the parts of a batch, such as chunks, add up.

    Attributes:
        config: sizes and optimiser.

    References:
        Jaques et al. (2019), section 5. Here the whole encoder is shared, not the convolution alone.
    """

    config: ModelConfig = ModelConfig()

    @property
    def optimiser(self) -> Optimiser:
        """Its own."""
        return self.config.optimiser

    def trunk(self, policy: Policy) -> Trunk:
        """Sizes of the part that reads and remembers; it reads everybody's actions of the step itself."""
        config = self.config
        return Trunk(
            spec=policy.spec,
            encoder=policy.config.encoder if config.encoder == "shared" else config.encoder,
            filters=config.filters,
            hidden=config.hidden,
            core=config.core,
            width=config.width,
            shared=policy.config.shared,
            alphabets=(("current_actions", len(policy.spec.actions)),),
        )

    def init(self, key: Key[Array, ""], policy: Policy) -> ModelNetwork:
        """Fresh parameters; the head starts almost uniform, so that nothing is foreseen before it is learned."""
        if policy.spec.agents < 2:
            raise ValueError("a model of others needs another agent: the game has one")
        trunk, key_read, key_core, key_head = self.trunk(policy), *jax.random.split(key, 3)
        shared = self.config.encoder == "shared"
        outputs = (policy.spec.agents - 1) * len(policy.spec.actions)
        widths = (policy.config.hidden[-1], *self.config.hidden)
        keys = jax.random.split(key_read, len(self.config.hidden))
        layers = tuple(
            Dense.init(k, trunk.groups, i, o, 2.0**0.5) for k, i, o in zip(keys, widths[:-1], widths[1:], strict=True)
        )
        return ModelNetwork(
            encoder=None if shared else trunk.init_encoder(key_read),
            layers=layers if shared else (),
            core=trunk.init_core(key_core),
            head=Dense.init(key_head, trunk.groups, self.config.width, outputs, 0.01),
        )

    def initial(self, policy: Policy, environments: int) -> Memory:
        """The models' memory at the start of an episode, [b, n, ...]."""
        shape = jax.eval_shape(lambda: self.init(jax.random.key(0), policy).core)
        return self.trunk(policy).initial(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape), environments)

    def observe(
        self, auxiliary: ModelNetwork, memory: Memory, params: Network, policy: Policy, trajectory: Trajectory
    ) -> tuple[Memory, Imagined]:
        """The memory after a trajectory, and what every agent foresees of every other under each own action."""
        trunk = self.trunk(policy)
        shared = None if trajectory.features is None else policy.trunk.by_group(trajectory.features, 2)
        features = self._features(auxiliary, policy, trajectory.observation, shared)
        observation = self._observation(trajectory)
        if one_pass(auxiliary.core):
            return self._in_one_pass(auxiliary, auxiliary.core, memory, features, policy, trajectory)
        last, before = trunk.memories(auxiliary.core, memory, features, observation, trajectory.start)

        def one(now: Any) -> tuple[Array, Array]:
            *read, weights, chosen = now
            logits = self._each_action(auxiliary, policy, *read)
            return averaged(logits, jnp.moveaxis(weights, -1, 0)[..., None], chosen[..., None])

        # The gates of all alternatives of all steps would not fit into any cache.
        rows = trajectory.start.shape[1] * policy.spec.agents
        numbers = 4 * self.config.width * rows * len(policy.spec.actions)
        steps = (before, jnp.moveaxis(features, 1, 0), observation, weights(trajectory), trajectory.symbols["action"])
        actual, marginal = over_steps(one, steps, numbers)
        return last, Imagined(by_pair(actual), by_pair(marginal))

    def _in_one_pass(
        self,
        auxiliary: ModelNetwork,
        core: LSTM,
        memory: Memory,
        features: Float[Array, "g t m d"],
        policy: Policy,
        trajectory: Trajectory,
    ) -> tuple[Memory, Imagined]:
        """`observe`, without the alternatives ever being written down."""
        actions = trajectory.symbols["action"]
        last, actual, marginal = imagined_in_one_pass(
            self.trunk(policy),
            core,
            auxiliary.head,
            memory,
            features,
            self._observation(trajectory),
            trajectory.start,
            field="current_actions",
            slots=(_OWN,),
            weights=weights(trajectory)[..., None, :],
            chosen=actions[..., None],
            available=jnp.ones((*actions.shape, len(policy.spec.actions)), bool),
        )
        return last, Imagined(by_pair(actual[..., 0, :, :]), by_pair(marginal[..., 0, :, :]))

    def steps(self, auxiliary: ModelNetwork, memory: Memory, policy: Policy, trajectory: Trajectory) -> Any:
        """What `foresee` needs of every step: memory, the policies' features where shared, and what is read.

        Args:
            auxiliary: the models' parameters.
            memory: before the first step.
            policy: the definition.
            trajectory: with features.

        Returns:
            a tree of arrays [t, b, ...].
        """
        shared = None if trajectory.features is None else policy.trunk.by_group(trajectory.features, 2)
        features = self._features(auxiliary, policy, trajectory.observation, shared)
        observation = self._observation(trajectory)
        _, before = self.trunk(policy).memories(auxiliary.core, memory, features, observation, trajectory.start)
        return before, trajectory.features, observation

    def foresee(self, auxiliary: ModelNetwork, policy: Policy, now: Any) -> Float[Array, "c b n o a"]:
        """Logits of every other agent's next action under each own action, in one step.

        Args:
            auxiliary: the models' parameters.
            policy: the definition.
            now: one step of `steps`.
        """
        memory, shared, observation = now
        shared = None if shared is None else policy.trunk.by_group(shared, 2)
        features = self._features(auxiliary, policy, observation, shared)
        return self._each_action(auxiliary, policy, memory, features, observation)

    def _each_action(
        self,
        auxiliary: ModelNetwork,
        policy: Policy,
        memory: Memory,
        features: Float[Array, "g m d"],
        observation: Observation,
    ) -> Float[Array, "c b n o a"]:
        """The same from the models' own features."""
        trunk = self.trunk(policy)
        y = trunk.alternatives(auxiliary.core, memory, features, observation, field="current_actions", slot=_OWN)
        return self._logits(auxiliary, policy, y)

    def loss(
        self,
        auxiliary: ModelNetwork,
        memory: Memory,
        params: Network,
        policy: Policy,
        trajectory: Trajectory,
        features: Float[Array, "g t m d"],
    ) -> tuple[Float[Array, ""], dict[str, Metric]]:
        r"""The loss in nats, summed over agents (averaged where they share parameters), and the cross-entropies.

        $L^k = \frac{1}{TB(n-1)} \sum_{t,b,j} m_{tbj} \cdot -\log p^k_t(a^j_{t+1})$, with m = 1 where it counts, else 0.
        `cross_entropy` is the same sum over $\sum m$.
        """
        surprise, known, visible = self.surprise(auxiliary, memory, policy, trajectory, features)
        counted = known & visible if self.config.visible_only else known
        each = jnp.mean(jnp.where(counted, surprise, 0.0), (0, 1, 3))
        total = jnp.sum(each) * (policy.groups / policy.spec.agents)
        sets = {"": counted, "_visible": known & visible, "_invisible": known & ~visible}
        return total, {f"cross_entropy{name}": Ratio.where(where, surprise, (0, 1, 3)) for name, where in sets.items()}

    def surprise(
        self,
        auxiliary: ModelNetwork,
        memory: Memory,
        policy: Policy,
        trajectory: Trajectory,
        features: Float[Array, "g t m d"] | None,
    ) -> tuple[Float[Array, "t b n o"], Bool[Array, "t b n o"], Bool[Array, "t b n o"]]:
        """Minus the log-probability of what every other agent did next; where that is known; whom each agent sees.

        Args:
            auxiliary: the models' parameters.
            memory: before the first step.
            policy: the definition.
            trajectory: some of the environments, all steps.
            features: of the policy's encoder, where it is shared.
        """
        trunk, observation = self.trunk(policy), self._observation(trajectory)
        own = self._features(auxiliary, policy, trajectory.observation, features)
        _, y = trunk.unroll(auxiliary.core, memory, own, observation, trajectory.start)
        logs = jax.nn.log_softmax(self._logits(auxiliary, policy, y))
        others = in_slots(trajectory.symbols["action"])[..., 1:]
        following = jnp.concatenate([others[1:], others[-1:]])
        goes_on = ~(trajectory.terminated | trajectory.truncated)
        known = jnp.concatenate([goes_on[:-1], jnp.zeros_like(goes_on[-1:])])
        surprise = -jnp.take_along_axis(logs, following[..., None], -1)[..., 0]
        visible = trajectory.observation.visible[..., 1:]
        return surprise, jnp.broadcast_to(known[:, :, None, None], surprise.shape), visible

    def _observation(self, trajectory: Trajectory) -> Observation:
        """What the models read: the views, and everybody's actions of the step itself."""
        return trajectory.observation._replace(current_actions=in_slots(trajectory.symbols["action"]))

    def _features(
        self,
        auxiliary: ModelNetwork,
        policy: Policy,
        observation: Observation,
        shared: Float[Array, "g *t m f"] | None,
    ) -> Float[Array, "g *t m d"]:
        if auxiliary.encoder is not None:
            return self.trunk(policy).features(auxiliary.encoder, observation)
        if shared is None:
            raise ValueError("a model that shares the policy's features needs them")
        for layer in auxiliary.layers:
            shared = jax.nn.relu(layer(shared))
        return shared

    def _logits(
        self, auxiliary: ModelNetwork, policy: Policy, y: Float[Array, "g *t m y"]
    ) -> Float[Array, "*t b n o a"]:
        """Logits of every other agent's next action."""
        flat = self.trunk(policy).by_environment(auxiliary.head(y))
        return flat.reshape(*flat.shape[:-1], policy.spec.agents - 1, -1)
