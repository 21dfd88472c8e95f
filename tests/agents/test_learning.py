"""Learning runs whose outcome is known: a memory task with a ceiling, and the prisoner's dilemma."""

import dataclasses

import numpy as np
import pytest

from suasion.agents import Experiment, Extrinsic, LearnerConfig, Optimiser, Rewards, Shared, constant
from suasion.games import Recall, prisoners_dilemma

RECALL = Recall(symbols=4, delay=2, horizon=12)
# An answer earns at once or never: without a discount the advantage is the reward itself.
MEMORY = LearnerConfig(
    environments=64,
    steps=12,
    discount=0.0,
    lambda_=0.0,
    entropy_weight=constant(0.0),
    staggered=False,
    optimiser=Optimiser(learning_rate=constant(1e-2), clip=1.0),
)


def share_of_the_ceiling(core, updates, make_policy, verbs, seed=0, game=RECALL, config=MEMORY):
    """The mean return of the last 20 updates (1,280 episodes), where never forgetting gives 1."""
    policy = make_policy(game, core=core, hidden=(16,), width=32)
    experiment = Experiment(game=game, policy=policy, config=config)
    _, reports = verbs.run(experiment, updates, seed=seed)
    episodes = sum(float(report.finished.episodes) for report in reports[-20:])
    returns = sum(float(report.finished.returns[0]) for report in reports[-20:])
    assert episodes == 20 * config.environments
    return returns / episodes / game.ceiling


@pytest.mark.parametrize("core", ["lstm", "gru", "diagonal"])
def test_memory_reaches_95_percent_of_the_ceiling(core, make_policy, verbs):
    assert share_of_the_ceiling(core, 120, make_policy, verbs) >= 0.95


@pytest.mark.parametrize("core", ["s4d", "mamba"])
def test_sequence_cores_reach_95_percent_of_the_ceiling_sooner(core, make_policy, verbs):
    assert share_of_the_ceiling(core, 50, make_policy, verbs) >= 0.95


def test_without_memory_recall_stays_at_chance(make_policy, verbs):
    """Of 12,800 answers a quarter is right; 0.019 are 5 standard errors, a false alarm in a million seeds."""
    assert share_of_the_ceiling("none", 120, make_policy, verbs) == pytest.approx(0.25, abs=0.019)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("core", ["lstm", "gru"])
def test_memory_is_learned_with_discounted_returns_and_longer_episodes(core, seed, make_policy, verbs):
    game = Recall(symbols=4, delay=2, horizon=24)
    config = dataclasses.replace(MEMORY, steps=24, discount=0.9, lambda_=0.9, entropy_weight=constant(0.02))
    assert share_of_the_ceiling(core, 600, make_policy, verbs, seed, game, config) >= 0.95


@pytest.mark.parametrize(("term", "defects"), [(Extrinsic(), 1.0), (Shared(), 0.0)], ids=["selfish", "shared"])
def test_selfish_learners_defect_and_a_shared_reward_makes_them_cooperate(term, defects, make_policy, verbs):
    game = prisoners_dilemma(horizon=10)
    experiment = Experiment(
        game=game,
        policy=make_policy(game, core="none", hidden=(8,), width=8),
        config=LearnerConfig(
            algorithm="a2c",
            environments=16,
            steps=10,
            discount=0.0,
            entropy_weight=constant(0.0),
            optimiser=Optimiser(learning_rate=constant(2e-2), clip=1.0),
        ),
        rewards=Rewards((("own", term, constant(1.0)),)),
    )
    _, reports = verbs.run(experiment, 100)
    last = reports[-1].finished
    share = np.asarray(last.events["defect"]) / float(last.steps)
    np.testing.assert_allclose(share, defects, atol=0.05)
    np.testing.assert_allclose(last.returns / last.episodes / game.horizon, 1.0 if defects else 3.0, atol=0.1)
