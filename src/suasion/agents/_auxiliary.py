"""The second door of the learner: losses that train more than the policy, such as a model of other agents."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

from suasion.agents._metrics import Metric
from suasion.agents._optimiser import Optimiser
from suasion.agents._trajectory import Trajectory
from suasion.networks import Network, Policy


@runtime_checkable
class AuxiliaryLoss(Protocol):
    """A loss with parameters, a memory and an optimiser of its own: frozen, hashable, pure.

    Every leaf of its parameters has the independent sets as first axis. The gradient also reaches the policy's
    network where the loss lets it through (a shared convolution); stop it where it must not.
    """

    @property
    def optimiser(self) -> Optimiser:
        """A model of others must learn faster than the policy: it has a rate and a clip of its own."""
        ...

    def init(self, key: Key[Array, ""], policy: Policy) -> Any:
        """Fresh parameters."""
        ...

    def initial(self, policy: Policy, environments: int) -> Any:
        """Its memory at the beginning, environments as first axis of every array; () if none."""
        ...

    def observe(
        self, auxiliary: Any, memory: Any, params: Network, policy: Policy, trajectory: Trajectory
    ) -> tuple[Any, Any]:
        """Once per trajectory, before learning: the memory after it, and whatever reward terms may read.

        The second part becomes `trajectory.auxiliary[name]`; time-major arrays [t, b, ...].
        """
        ...

    def loss(
        self,
        auxiliary: Any,
        memory: Any,
        params: Network,
        policy: Policy,
        trajectory: Trajectory,
        features: Float[Array, "g t m d"],
    ) -> tuple[Float[Array, ""], dict[str, Metric]]:
        """The loss on a part of the environments, and its metrics, each a scalar, one number per agent, or a `Ratio`.

        Args:
            auxiliary: this loss's parameters.
            memory: at the trajectory's first step, as `initial` and `observe` gave it.
            params: the policy's parameters.
            policy: the definition.
            trajectory: some of the environments, all steps.
            features: of the policy's encoder under `params`, made once for all losses: sets of parameters first.
        """
        ...
