"""Where each game starts from: the rooms' own defaults, with the few numbers that differ, and why.

The command line and `configure` change them one by one; nothing else sets a default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from suasion.agents import LearnerConfig, Optimiser, Schedule, constant
from suasion.networks import PolicyConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A starting point.

    Attributes:
        policy: the network.
        learner: how the agents learn.
        steps: environment steps to train for.
        rewards: name and weight of each reward term.
        log_every: updates in one row of metrics.
    """

    policy: PolicyConfig = PolicyConfig()
    learner: LearnerConfig = LearnerConfig()
    steps: int = 960_000
    rewards: tuple[tuple[str, str], ...] = (("extrinsic", "1"),)
    log_every: int = 1


def preset(game: str, size: str = "small") -> Preset:
    """The preset of a game; games that have none of their own are matrix games.

    Args:
        game: name in the catalogue of games.
        size: `small` or `paper`; only Harvest and Cleanup have two.
    """
    return _PRESETS.get((game, size), _PRESETS.get((game, "small"), _matrix))()


def _small_harvest() -> Preset:
    # PPO with the defaults of LearnerConfig. A memory of 64 units is enough for three agents on 11 x 15 cells, and
    # halves the time of an update.
    return Preset(policy=PolicyConfig(width=64))


def _small_cleanup() -> Preset:
    # Cleaning pays late: agents first unlearn their beams, then rise slowly; they need twice the time of Harvest.
    return Preset(policy=PolicyConfig(width=64), steps=1_900_800)


def _paper(rate: tuple[float, float], entropy: float) -> Preset:
    """A2C on the publications' maps with the network of Jaques et al. (2019), their table of hyper-parameters."""
    steps = 100_000_000
    learner = LearnerConfig(
        algorithm="a2c",
        environments=64,
        steps=64,
        # Activations of 16 environments stay in cache; gradients are summed over the chunks.
        chunk=16,
        # 1 makes the advantage that of the whole rollout: A2C's own n-step return.
        lambda_=1.0,
        entropy_weight=constant(entropy),
        optimiser=Optimiser(learning_rate=Schedule(((0, rate[0]), (steps, rate[1])))),
    )
    # About four episodes of 1,000 steps end in an update of 4,096 steps: a row of four updates has some 16.
    return Preset(learner=learner, steps=steps, log_every=4)


def _paper_harvest() -> Preset:
    return _paper((1.36e-3, 2.8e-5), 0.000687)


def _paper_cleanup() -> Preset:
    return _paper((1.26e-3, 1.2e-5), 0.00176)


def _box_trapped() -> Preset:
    # Views of 7 x 7 class codes without colours to generalise over: one dense layer. An update is one whole episode of
    # every environment, so their clocks need not be spread.
    return Preset(
        policy=PolicyConfig(encoder="classes", hidden=(64,), width=64, last_actions=True),
        learner=LearnerConfig(epochs=3, staggered=False, optimiser=Optimiser(learning_rate=constant(2e-3))),
    )


def _matrix() -> Preset:
    # The view is the last joint action; an update is one whole episode of 100 rounds.
    return Preset(
        policy=PolicyConfig(encoder="classes", hidden=(32,), width=32, last_actions=True),
        learner=LearnerConfig(steps=100, staggered=False),
        steps=320_000,
    )


def _recall() -> Preset:
    # A view is one symbol. No last actions: one's own last answer would be a memory outside the core.
    return Preset(
        policy=PolicyConfig(encoder="classes", hidden=(32,), width=64),
        learner=LearnerConfig(steps=40, staggered=False, optimiser=Optimiser(learning_rate=constant(3e-3))),
        steps=384_000,
    )


_PRESETS: dict[tuple[str, str], Callable[[], Preset]] = {
    ("harvest", "small"): _small_harvest,
    ("harvest", "paper"): _paper_harvest,
    ("cleanup", "small"): _small_cleanup,
    ("cleanup", "paper"): _paper_cleanup,
    ("box-trapped", "small"): _box_trapped,
    ("recall", "small"): _recall,
}
