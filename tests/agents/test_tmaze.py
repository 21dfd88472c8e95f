"""Learning runs on the T-maze: cores with a memory reach the ceiling, without one chance is the best there is."""

import jax
import numpy as np
import pytest

from suasion.agents import Experiment, LearnerConfig, Optimiser, constant, init, update
from suasion.games import TMaze
from suasion.runs import build, configure

MAZE = TMaze(length=5, horizon=8)  # longer than the convolution in front of the diagonal core
CONFIG = LearnerConfig(
    environments=64, steps=8, epochs=4, staggered=False, optimiser=Optimiser(learning_rate=constant(3e-3))
)


def share(reports):
    """Mean return of the episodes that ended in these updates; the ceiling is 1."""
    returns = sum(float(report.finished.returns[0]) for report in reports)
    return returns / sum(float(report.finished.episodes) for report in reports)


@pytest.fixture(scope="module")
def learned(make_policy, verbs):
    def run(core, updates, seed=0):
        policy = make_policy(MAZE, core=core, hidden=(16,), width=32)
        _, reports = verbs.run(Experiment(game=MAZE, policy=policy, config=CONFIG), updates, seed=seed)
        return reports

    return run


def test_a_core_with_memory_reaches_95_percent_of_the_ceiling(learned):
    assert share(learned("diagonal", 150)[-20:]) >= 0.95 * MAZE.ceiling


def test_without_memory_an_agent_learns_to_turn_and_stays_at_chance(learned):
    """Of 1,280 episodes half are right; 0.07 are 5 standard errors, a false alarm in a million seeds."""
    assert share(learned("none", 150)[-20:]) == pytest.approx(MAZE.chance, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [713, 714, 715])
@pytest.mark.parametrize(
    ("game", "core"), [(game, core) for game in ("t-maze", "recall") for core in ("diagonal", "mamba", "none")]
)
def test_presets_reach_95_percent_and_without_memory_chance(game, core, seed):
    """As `suasion train GAME --core CORE`; without memory 5 standard errors of the last 20 updates' episodes."""
    config = configure(game, policy={"core": core}, seed=seed)
    experiment = build(config)
    learner = jax.jit(init, static_argnums=0)(experiment, jax.random.key(seed))
    on = jax.jit(update, static_argnums=0, donate_argnums=1)
    reports = []
    for _ in range(config.steps // config.learner.steps_per_update):
        # One at a time: of two devices with several updates in flight each can wait for the other in another one.
        learner, report = jax.block_until_ready(on(experiment, learner))
        reports.append(report.finished)
    returns = sum(float(each.returns[0]) for each in reports[-20:]) / sum(
        float(each.episodes) for each in reports[-20:]
    )
    if core != "none":
        assert returns >= 0.95 * experiment.game.ceiling
    else:
        answers = experiment.game.horizon - experiment.game.delay if game == "recall" else 1
        deviation = np.sqrt(answers * 0.25) / np.sqrt(20 * config.learner.environments)
        assert returns <= experiment.game.chance + 5 * deviation
