"""Where each game starts from: the rooms' own defaults, with the few numbers that differ, and why.

The command line and `configure` change them one by one; nothing else sets a default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from suasion.agents import LearnerConfig, Optimiser, Schedule, constant
from suasion.influence import InfluenceConfig, ModelConfig
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
        influence: how influence is measured, if at all.
    """

    policy: PolicyConfig = PolicyConfig()
    learner: LearnerConfig = LearnerConfig()
    steps: int = 960_000
    rewards: tuple[tuple[str, str], ...] = (("extrinsic", "1"),)
    log_every: int = 1
    influence: InfluenceConfig | None = None


def preset(game: str, size: str = "small", mode: str | None = None) -> Preset:
    """The preset of a game; games that have none of their own are matrix games.

    Args:
        game: name in the catalogue of games.
        size: `small` or `paper`; only Harvest and Cleanup have two.
        mode: of influence; None for none.
    """
    start = _PRESETS.get((game, size), _PRESETS.get((game, "small"), _matrix))()
    if mode is None:
        return start
    recipe = _influence if mode == "communication" else _INFLUENCE.get(game, _influence)
    return recipe(start, mode)


def _influence(start: Preset, mode: str) -> Preset:
    """Influence on a game that has no recipe of its own."""
    config = InfluenceConfig(mode=mode, model=ModelConfig(encoder="shared", width=start.policy.width))  # type: ignore[arg-type]
    # A model of others knows what they did last; so must the policy that is to use it (Jaques et al. 2019).
    policy = dataclasses.replace(start.policy, last_actions=start.policy.last_actions or mode == "model")
    if mode == "communication" and not policy.vocabulary:
        policy = dataclasses.replace(policy, vocabulary=4)
    return dataclasses.replace(
        start, influence=config, policy=policy, rewards=(("extrinsic", "1"), ("influence", "0.1"))
    )


def _box_influence(start: Preset, mode: str) -> Preset:
    """Influence first, apples later: with apples from the start the box is left alone before there is influence.

    The free agent's own reward fades in once its influence after the opening has been there for a hundred updates, and
    after 560,000 steps at the latest. Opening costs 2 to 5 apples; influence is a tenth of a nat a step by the
    Jensen-Shannon divergence where both agents circle in one orchard, hence the weight of 50. Not by KL: to stand at
    the door and open it with a small probability p would be paid -log p, without bound; by the Jensen-Shannon
    divergence no such wait is worth more than 1.04 nats. As apples fade in the weight falls to 45, so that a wait is
    worth no more than there is to eat.

    Values weigh a fifth of the usual: when the trapped agent changes its habits, the free one's values are wrong by
    tens of nats, and their gradient, through the layers that policy and values share, would take the policy with it.
    No entropy bonus for the trapped agent: while it is locked in it is paid nothing, and would unlearn how to eat. The
    model of others is its own network, five times faster than the policy.
    """
    model = ModelConfig(encoder="classes", hidden=(64,), width=64, optimiser=Optimiser(learning_rate=constant(1e-2)))
    config = InfluenceConfig(
        mode=mode,  # type: ignore[arg-type]
        divergence="jsd",
        influencers=(0,),
        influenced=(1,),
        model=model,
    )
    rate = Schedule(((0, 2e-3), (240_000, 2e-3), (600_000, 5e-4)))
    learner = dataclasses.replace(
        start.learner,
        value_weight=0.1,
        entropy_weight=(constant(0.01), constant(0.0)),
        optimiser=Optimiser(learning_rate=rate),
    )
    when = "when(influence/after_opened[0]>=0.01,100,560000)"
    rewards = (("extrinsic", f"{when}:0@0,1@240000/1"), ("influence", f"{when}:50@0,45@240000/0"))
    return dataclasses.replace(start, influence=config, learner=learner, rewards=rewards, steps=1_040_000)


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
    # A view is one symbol. No last actions: one's own last answer would be a memory outside the core. An answer is paid
    # at once and changes nothing: with a discount of 0 the advantage is the reward itself, not the luck of later ones.
    return Preset(
        policy=PolicyConfig(encoder="classes", hidden=(32,), width=64),
        learner=LearnerConfig(
            steps=40, discount=0.0, staggered=False, optimiser=Optimiser(learning_rate=constant(3e-3))
        ),
        steps=384_000,
    )


def _signalling() -> Preset:
    # No last actions: the seeing agent's own action would be a message outside the channel. A symbol matters for one
    # step: what comes later is noise to a message.
    rate = Optimiser(learning_rate=constant(5e-3))
    return Preset(
        policy=PolicyConfig(encoder="classes", hidden=(32,), width=32),
        learner=LearnerConfig(steps=40, staggered=False, discount=0.5, optimiser=rate),
        steps=160_000,
    )


def _t_maze() -> Preset:
    # An update is one whole episode of every environment. One of its steps at most is paid, so that it tells little:
    # small steps on it, and more of them, find the cue in half the episodes.
    return Preset(
        policy=PolicyConfig(encoder="classes", hidden=(32,), width=64),
        learner=LearnerConfig(steps=20, epochs=4, staggered=False, optimiser=Optimiser(learning_rate=constant(1e-3))),
        steps=192_000,
    )


_PRESETS: dict[tuple[str, str], Callable[[], Preset]] = {
    ("harvest", "small"): _small_harvest,
    ("harvest", "paper"): _paper_harvest,
    ("cleanup", "small"): _small_cleanup,
    ("cleanup", "paper"): _paper_cleanup,
    ("box-trapped", "small"): _box_trapped,
    ("recall", "small"): _recall,
    ("signalling", "small"): _signalling,
    ("t-maze", "small"): _t_maze,
}

_INFLUENCE: dict[str, Callable[[Preset, str], Preset]] = {"box-trapped": _box_influence}
