"""Covariances that repeat to the last bit are computed once, and nothing else changes."""

import numpy as np
import pytest

from suasion.statespace import LinearGaussianSSM, filter, simulate, smooth
from suasion.statespace import _covariance_form as covariance_form
from suasion.statespace._kalman import groups, run_filter, run_smoother


def trend(**change):
    parts = {
        "A": np.array([[1.0, 1], [0, 1]]), "C": np.array([[1.0, 0]]), "Q": np.diag([0.1, 0.01]), "R": np.eye(1),
        "m0": np.zeros(2), "P0": 10 * np.eye(2),
    }  # fmt: skip
    return LinearGaussianSSM(**{**parts, **change})


def rotation():
    """Four components, two observed; slow to settle."""
    rng = np.random.default_rng(4)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0] * 0.97
    return LinearGaussianSSM(
        A=turn, C=rng.normal(size=(2, 4)), Q=np.diag([0.1, 0.2, 0, 0.3]), R=np.array([[1.0, 0.3], [0.3, 0.5]]),
        m0=np.zeros(4), P0=np.eye(4),
    )  # fmt: skip


MODELS = {"trend": trend(), "rotation": rotation(), "diffuse": trend(P0=np.zeros((2, 2)), diffuse=np.ones(2, bool))}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("gaps", [False, True])
def test_the_same_bits(name, gaps):
    model = MODELS[name]
    rng = np.random.default_rng(0)
    y = np.cumsum(rng.normal(size=(2000, model.n_observed)), axis=0)
    if gaps:
        y[700:710] = np.nan
        y[1400, 0] = np.nan
    group = groups(model, y, None)[2][0]
    frozen, free = run_filter(model, group), run_filter(model, group, freeze=False)
    assert len(frozen.filtered_root) < 1500
    assert len(free.filtered_root) == 2000
    for field in ("predicted", "filtered", "error", "logs"):
        np.testing.assert_array_equal(getattr(frozen, field), getattr(free, field))
    for field in ("predicted_root", "filtered_root", "gain", "inverse"):
        np.testing.assert_array_equal(getattr(frozen, field)[frozen.slot], getattr(free, field))
    back, whole = run_smoother(model, group, frozen), run_smoother(model, group, free, freeze=False)
    for one, other in zip(back, whole, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["trend", "rotation"])
@pytest.mark.parametrize("smoothed", [False, True])
def test_the_same_bits_in_covariance_form(name, smoothed):
    model = MODELS[name]
    y = np.cumsum(np.random.default_rng(0).normal(size=(500, model.n_observed)), axis=0)
    y[300] = np.nan
    group = groups(model, y, None)[2][0]
    frozen, free = (covariance_form._run(model, group, smoothed, freeze=freeze) for freeze in (True, False))
    for one, other in zip(frozen.fields, free.fields, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_changes_with_time_is_not_frozen():
    model = trend(R=np.where(np.arange(300) < 150, 1.0, 2.0)[:, None, None])
    y = np.cumsum(np.random.default_rng(0).normal(size=(300, 1)), axis=0)
    passed = run_filter(model, groups(model, y, None)[2][0])
    assert len(passed.filtered_root) == 300
    assert passed.logs[299] != passed.logs[149]


def test_a_stack_shares_its_covariances():
    """One copy for all, which is read-only; each sequence has the states that it has alone, to the last bit."""
    model = trend()
    _, y = simulate(model, 40, np.random.default_rng(0), count=5)
    for verb in (filter, smooth):
        for form in ("root", "covariance"):
            together = verb(model, y, form=form)
            shared = together.root if form == "root" else together.covariance
            assert shared.shape == (5, 40, 2, 2)
            assert shared.strides[0] == 0
            assert not shared.flags.writeable
            for q in range(5):
                alone = verb(model, y[q], form=form)
                np.testing.assert_array_equal(together.mean[q], alone.mean)
                np.testing.assert_array_equal(together[1][q], alone[1])
                np.testing.assert_allclose(together.log_likelihood[q], alone.log_likelihood, rtol=1e-14)
