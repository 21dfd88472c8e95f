"""Influence in whole episodes: as the agents' own rewards see it, and exactly.

Letters of the shapes: t steps, e episodes, n agents; k influences j.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from jaxtyping import Array, Float

from suasion.agents import Experiment, Params, Trajectory
from suasion.influence._counterfactual import Foreseen, Simulated
from suasion.influence._reward import Influence, influences


class Measured(NamedTuple):
    """Influence of every agent k on every agent j in nats, for each step of each episode.

    Attributes:
        own: by the experiment's own reward term; None in an experiment without one.
        simulated: of their actions, exactly, by playing each step again, with the same divergence for the same agents
            (`own`, where it is by messages, is another quantity and exact itself); None where agents act in stages,
            which the simulator cannot foresee.
    """

    own: Float[Array, "t e k j"] | None
    simulated: Float[Array, "t e k j"] | None


def measure(experiment: Experiment, params: Params, trajectory: Trajectory) -> Measured:
    """Influence in whole episodes; compile it: `jax.jit(measure, static_argnums=0)`.

    In an experiment without an influence reward the exact influence of everybody on everybody is measured.

    Args:
        experiment: that was trained.
        params: what it learned.
        trajectory: of `agents.play`: whole episodes with the game's states.
    """
    found = _own(experiment)
    own = None if found is None else _of(found, experiment, params, trajectory)
    if len(experiment.policy.stages) > 1:
        return Measured(own, None)
    term = found or _everybody(experiment)
    if own is not None and isinstance(term.counterfactual, Simulated):
        return Measured(own, own)
    exact = dataclasses.replace(term, counterfactual=Simulated(experiment.game, term.influencers))
    return Measured(own, _of(exact, experiment, params, trajectory))


def recorded(experiment: Experiment) -> Influence | None:
    """The influence that records of episodes hold: that of the experiment's own reward where it has one, else the exact
    one of everybody on everybody; None where neither can be known.
    """
    found = _own(experiment)
    return found if found or len(experiment.policy.stages) > 1 else _everybody(experiment)


def _own(experiment: Experiment) -> Influence | None:
    return next((term for _, term, _ in experiment.rewards.terms if isinstance(term, Influence)), None)


def _everybody(experiment: Experiment) -> Influence:
    agents = tuple(range(experiment.game.spec.agents))
    return Influence(counterfactual=Simulated(experiment.game, agents), influencers=agents, influenced=agents)


def _of(term: Influence, experiment: Experiment, params: Params, trajectory: Trajectory) -> Float[Array, "t e k j"]:
    policy = experiment.policy
    if isinstance(term.counterfactual, Foreseen):
        name = term.counterfactual.model
        model = dict(experiment.auxiliary)[name]
        memory = model.initial(policy, trajectory.start.shape[1])
        _, foreseen = model.observe(params.auxiliary[name], memory, params.policy, policy, trajectory)
        trajectory = trajectory._replace(auxiliary={name: foreseen})
    imagined = term.counterfactual.imagine(params, policy, trajectory, term.weights(trajectory))
    return influences(term, policy, trajectory, imagined)
