"""The compiled loops: each is the function that JAX computes, with its gradient; episodes, NaN, batches, accuracy."""

import concurrent.futures
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numba import njit

from suasion import _foreign
from suasion._foreign_functions import decay, log, sigmoid, tanh
from suasion.sequence import CausalConvolution, Mamba, gated_unit, selective_scan
from suasion.sequence import _native as native
from suasion.sequence._checks import check_kind
from suasion.sequence._reference import scan_associatively, scan_step_by_step

STEPS, BATCH, CHANNELS = 37, 5, 19  # three chunks, one of them cut; channels that fill no vector


@pytest.fixture(scope="module")
def arrays():
    """Random numbers of float32, in float64, by shape; and starts."""
    rng = np.random.default_rng(5)

    def make(*shape):
        return rng.normal(size=shape).astype("float32").astype(float)

    return make, jnp.asarray(rng.random((STEPS, BATCH)) < 0.1)


def with_gradients(run, count):
    """Results of `run`, and the gradients of a weighted sum of them."""

    def weighted(*given):
        found = run(*given)
        weights = [np.random.default_rng(9).normal(size=leaf.shape).astype("float32") for leaf in found]
        return sum(jnp.sum(w * jnp.sin(leaf)) for w, leaf in zip(weights, found, strict=True)), found

    return jax.grad(weighted, argnums=tuple(range(count)), has_aux=True)


def both(loops, reference, real, quick):
    """(gradients, results) by the loops in float32, and by the reference in float64."""
    found = quick(with_gradients(loops, len(real)))(*(jnp.asarray(x, jnp.float32) for x in real))
    with jax.enable_x64(True):
        expected = quick(with_gradients(reference, len(real)))(*(jnp.asarray(x) for x in real))
        expected = jax.tree.map(np.asarray, expected)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    return found, expected


@pytest.mark.parametrize("rule", ["euler", "zoh"])
@pytest.mark.parametrize("shape", [(STEPS, BATCH, CHANNELS, 3), (1, 2, 3, 1), (16, 1, 33, 5)])
def test_the_scan_is_that_of_the_equation(shape, rule, scan_inputs, quick, assert_close):
    *real, start = scan_inputs(*shape)
    begun = jnp.asarray(start)
    found, expected = both(
        lambda *given: native.scan_by_loops(rule, *given, begun),
        lambda *given: scan_associatively(rule, *given, begun),
        real,
        quick,
    )
    assert_close(found, expected, 1e-6)
    assert_close(found[1], scan_step_by_step(rule, *real, start), 1e-6)


def test_an_input_is_held_at_all_rates(scan_inputs, quick, assert_close):
    """z = delta A from 0 past the end of the series at -1/2 to where nothing is left of the state."""
    x, delta, A, B, C, state, start = scan_inputs(STEPS, 2, 40, 3)
    A = np.stack([-np.r_[0.0, np.geomspace(1e-9, 1e3, 39)]] * 3).astype("float32").astype(float)
    A[1], A[2] = -np.linspace(0.49, 0.51, 40), 0.0
    A = A.astype("float32").astype(float)
    delta = np.where(np.random.default_rng(1).random(delta.shape) < 0.2, 0.0, np.where(delta < 0.5, 1.0, delta))
    real, begun = (x, delta.astype("float32").astype(float), A, B, C, state), jnp.asarray(start)
    found, expected = both(
        lambda *given: native.scan_by_loops("zoh", *given, begun),
        lambda *given: scan_associatively("zoh", *given, begun),
        real,
        quick,
    )
    assert_close(found, expected, 2e-6)


def in_jax(x, weight, bias, window, start):
    window, y = CausalConvolution(weight=weight, bias=bias).run(window, x, start)
    return jax.nn.silu(y), window


@pytest.mark.parametrize("taps", [1, 2, 4])
def test_the_convolution_is_that_of_jax(taps, arrays, quick, assert_close):
    make, start = arrays
    real = (make(STEPS, BATCH, CHANNELS), make(taps, CHANNELS), make(CHANNELS), make(BATCH, taps - 1, CHANNELS))
    assert start[: taps + 1].any()
    found, expected = both(
        lambda *given: native.convolve_silu(*given, start), lambda *given: in_jax(*given, start), real, quick
    )
    assert_close(found, expected, 1e-6)


def unit_in_jax(drive, weight, bias, window, state, start):
    """Step after step."""
    convolution = CausalConvolution(weight=weight, bias=bias)

    def step(memory, now):
        (window, h), (drive, start) = memory, now
        window, h = jnp.where(start[:, None, None], 0.0, window), jnp.where(start[:, None], 0.0, h)
        s, u, o = jnp.split(drive, 3, -1)
        window, c = convolution.recur(window, u)
        h = jax.nn.sigmoid(-s) * h + jax.nn.sigmoid(s) * c
        return (window, h), jax.nn.sigmoid(o) * jnp.tanh(h)

    (window, h), y = jax.lax.scan(step, (window, state), (drive, start))
    return y, window, h


def unit(drive, weight, bias, window, state, start):
    return gated_unit(drive, CausalConvolution(weight=weight, bias=bias), window, state, start)


def unit_inputs(make, taps=4):
    d = CHANNELS
    return make(STEPS, BATCH, 3 * d), make(taps, d), make(d), make(BATCH, taps - 1, d), make(BATCH, d)


@pytest.mark.parametrize("taps", [1, 4])
def test_the_gated_unit_is_its_equations_step_by_step(taps, arrays, quick, assert_close):
    make, start = arrays
    found, expected = both(
        lambda *given: unit(*given, start),
        lambda *given: unit_in_jax(*given, start),
        unit_inputs(make, taps),
        quick,
    )
    assert_close(found, expected, 1e-6)


def test_where_the_loops_do_not_serve_the_numbers_are_the_same(arrays, quick, assert_close, monkeypatch):
    make, start = arrays
    real = [jnp.asarray(x, jnp.float32) for x in unit_inputs(make)]
    mixer = Mamba.init(jax.random.key(0), width=6, states=3, discretization="euler")
    x = jnp.asarray(make(STEPS, BATCH, 6), jnp.float32)

    def run(real, x):
        return unit(*real, start), mixer.scan(mixer.initial(BATCH), x, start)

    fast = quick(run)(real, x)
    monkeypatch.setattr(_foreign, "_known", lambda: False)
    assert not native.suits(x)
    assert_close(fast, quick(lambda *given: run(*given))(real, x), 1e-6)


def test_what_the_loops_are_not_for_is_refused(scan_inputs):
    x, delta, A, B, C, _, _ = (jnp.asarray(v, jnp.float32) for v in scan_inputs(3, 2, 4, 2))
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(v), "float64") for v in (x, delta, A.T, B, C)]
        assert not native.suits(*wide)
        with pytest.raises(ValueError, match="form loops is for float32 on a CPU: here is float64 on cpu"):
            selective_scan(*wide, form="loops", discretization="euler")


def test_nan_does_not_cross_a_start_and_leaves_gradients_finite(arrays, quick, assert_close):
    make, start = arrays
    start = start.at[7, 2].set(True)
    drive, weight, bias, window, state = (jnp.asarray(x, jnp.float32) for x in unit_inputs(make))
    bad = (drive.at[:7, 2].set(jnp.nan), window.at[2].set(jnp.nan), state.at[2].set(jnp.nan))
    good = (drive.at[:7, 2].set(0.0), window.at[2].set(0.0), state.at[2].set(0.0))
    run = quick(lambda drive, window, state: unit(drive, weight, bias, window, state, start))
    found, expected = run(*bad), run(*good)
    assert bool(jnp.isnan(found[0][:7, 2]).all())
    assert_close((found[0][7:], *found[1:]), (expected[0][7:], *expected[1:]), 0.0)

    begun = start.at[0, 2].set(True)

    def total(drive, window, state):
        return jnp.sum(unit(drive, weight, bias, window, state, begun)[0] ** 2)

    gradients = quick(jax.grad(total, argnums=(0, 1, 2)))
    assert_close(gradients(good[0], *bad[1:]), gradients(*good), 0.0)  # so it is finite


def test_batches_of_batches_and_two_devices_at_once_are_one_after_the_other(arrays, assert_close):
    make, start = arrays
    real = [jnp.asarray(np.stack([x, 2.0 * x]), jnp.float32) for x in unit_inputs(make)]

    def run(*given):
        return unit(*given, start)

    apart = [run(*(x[i] for x in real)) for i in range(2)]
    expected = jax.tree.map(lambda *each: np.stack(each), *apart)
    assert_close(jax.vmap(run)(*real), expected, 0.0)
    assert jax.device_count() == 2
    assert_close(jax.pmap(run)(*real), expected, 0.0)


@njit
def tabulate(x, functions):
    for i in range(x.size):
        functions[0, i], functions[1, i], functions[2, i] = decay(-abs(x[i])), sigmoid(x[i]), tanh(x[i])


def test_the_elementary_functions_are_within_two_units_in_the_last_place():
    """Four units for tanh, next to where its series gives way."""
    positive = np.concatenate([np.geomspace(1e-30, 86.9, 200_000), np.linspace(0.0, 2.0, 200_001)])
    x = np.concatenate([positive, -positive]).astype("float32")
    found, exact = np.empty((3, x.size), np.float32), x.astype(float)
    tabulate(x, found)
    small = np.exp(-np.abs(exact))
    expected = (small, np.where(exact < 0, small, 1.0) / (1.0 + small), np.tanh(exact))
    for got, truth, units in zip(found, expected, (2, 2, 4), strict=True):
        error = np.abs(got - truth) / np.maximum(np.abs(truth), np.finfo(np.float32).tiny)
        assert error.max() <= units * np.finfo(np.float32).eps, error.max()


@njit
def tabulate_growth(x, functions):
    for i in range(x.size):
        functions[0, i], functions[1, i] = decay(x[i]), log(x[i])


def test_growth_and_logarithms_are_within_two_units_in_the_last_place():
    near = 1.0 + np.linspace(-1e-3, 1e-3, 20_001)
    x = np.concatenate([np.geomspace(1.2e-38, 3.4e38, 200_000), np.linspace(0.0, 88.0, 50_001)[1:], near])
    x = x.astype("float32")
    found, exact = np.empty((2, x.size), np.float32), x.astype(float)
    tabulate_growth(x, found)
    assert np.abs(found[1] / np.where(exact == 1.0, 1.0, np.log(exact)) - (exact != 1.0)).max() <= 2.0**-22
    few = exact <= 88.0
    assert np.abs(found[0][few] / np.exp(exact[few]) - 1.0).max() <= 2.0**-22
    ends = np.array([1.0, np.inf, np.nan], np.float32)
    tabulate_growth(ends, found[:, :3])
    np.testing.assert_array_equal(found[1, :3], [0.0, np.inf, np.nan])


def test_the_elementary_functions_at_the_ends():
    x = np.array([0.0, 88.0, 1e30, np.inf, -np.inf, np.nan], np.float32)
    found = np.empty((3, x.size), np.float32)
    tabulate(x, found)
    np.testing.assert_array_equal(found[0], [1.0, 0.0, 0.0, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(found[1], [0.5, 1.0, 1.0, 1.0, 0.0, np.nan])
    np.testing.assert_array_equal(found[2], [0.0, 1.0, 1.0, 1.0, -1.0, np.nan])


def test_threads_that_need_a_loop_at_once_register_it_once():
    met, asked = threading.Barrier(4), []

    @_foreign._once
    def register(name):
        asked.append(name)
        time.sleep(0.02)
        return name

    def one(_):
        met.wait()
        return register("loop")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == ["loop"] * 4
    assert asked == ["loop"]


def test_loops_refuse_arrays_of_another_type():
    with pytest.raises(ValueError, match="start is of int32: must be of bool"):
        check_kind("start", jnp.zeros((2, 2), jnp.int32), bool)
    x, delta, B, state = (jnp.ones(shape, jnp.float32) for shape in ((3, 2, 4), (3, 2, 4), (3, 2, 1), (2, 4, 1)))
    with pytest.raises(ValueError, match="state is of float16: must be of float32"):
        selective_scan(x, delta, -jnp.ones((4, 1)), B, B, state=state.astype(jnp.float16))
    x = jnp.zeros((2, 2), jnp.float16)
    with pytest.raises(TypeError, match=r"calls.scan reads and writes float32, int32, uint8, bool: here is float16"):
        _foreign.call("calls", "scan", (), x)
