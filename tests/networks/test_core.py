"""The contract of recurrent cores, for each of them, and each against its equations in NumPy."""

import functools
from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.networks import CORES, CoreInput, CoreKind, clear

T, B, FEATURES, ROWS, WIDTH = 9, 4, 3, 7, 5


def assert_trees_close(x, y, tolerance):
    """Absolute, and relative to an array's largest number where that is above 1: states without bound."""
    xs, ys = jax.tree.leaves(x), jax.tree.leaves(y)
    assert jax.tree.structure(x) == jax.tree.structure(y)
    for a, b in zip(xs, ys, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(np.asarray(b)).max(initial=1.0))


class Subject:
    """A core with random parameters and inputs, and its verbs compiled once."""

    def __init__(self, name, quick, at_random):
        self.name = name
        make = functools.partial(CORES[name], features=FEATURES, rows=ROWS, width=WIDTH)
        self.fresh = quick(make)(jax.random.key(0))
        self.core = at_random(self.fresh, 1, 0.7)
        self.memory = at_random(self.core.initial(B), 2, 0.7)
        rng = np.random.default_rng(3)
        self.inputs = CoreInput(
            jnp.asarray(rng.normal(size=(T, B, FEATURES)), jnp.float32),
            jnp.asarray(rng.integers(-1, ROWS + 1, (T, B, 2)), jnp.int32),  # out of range: nothing
        )
        self.start = jnp.asarray(rng.random((T, B)) < 0.3).at[0, 0].set(True).at[0, 1].set(False)
        self.drive = self.core.product.bias.shape
        self.scan = quick(lambda core, *args: core.scan(*args))
        self.step = quick(lambda core, *args: core.step(*args))
        self.gradient = quick(self._gradient)

    def at(self, index):
        return jax.tree.map(lambda x: x[index], self.inputs)

    def stepwise(self, memory, start):
        ys = []
        for t in range(T):
            memory, y = self.step(self.core, memory, self.at(t), start[t])
            ys.append(y)
        return memory, jnp.stack(ys)

    def _gradient(self, core, memory, features, weights):
        """Gradients of the same scalar of outputs and last memory, by `scan` and by `step` after `step`."""

        def scalar(memory, y):
            return sum(jnp.sum(jnp.sin(m)) for m in jax.tree.leaves(memory)) + jnp.sum(weights * y)

        def whole(core, memory, features):
            return scalar(*core.scan(memory, CoreInput(features, self.inputs.rows), self.start))

        def one_by_one(core, memory, features):
            ys = []
            for t in range(T):
                memory, y = core.step(memory, CoreInput(features[t], self.inputs.rows[t]), self.start[t])
                ys.append(y)
            return scalar(memory, jnp.stack(ys))

        return tuple(jax.grad(f, argnums=(0, 1, 2))(core, memory, features) for f in (whole, one_by_one))


@pytest.fixture(scope="module", params=sorted(CORES))
def subject(request, quick, at_random):
    return Subject(request.param, quick, at_random)


def test_every_core_is_known():
    assert tuple(CORES) == get_args(CoreKind) == ("lstm", "gru", "diagonal", "s4d", "mamba", "none")


def test_memory_starts_at_zero_with_the_batch_first(subject):
    for leaf in jax.tree.leaves(subject.core.initial(6)):
        assert leaf.shape[0] == 6
        np.testing.assert_array_equal(leaf, 0.0)
    assert subject.core.width == WIDTH
    assert jax.tree.leaves(subject.core.initial(6)) or subject.name == "none"


def test_scan_is_step_repeated(subject):
    got = subject.scan(subject.core, subject.memory, subject.inputs, subject.start)
    assert_trees_close(got, subject.stepwise(subject.memory, subject.start), 1e-6)
    assert got[1].shape == (T, B, WIDTH)


def test_the_gradient_of_scan_is_that_of_step_repeated(subject):
    weights = jnp.asarray(np.random.default_rng(4).normal(size=(T, B, WIDTH)), jnp.float32)
    whole, one_by_one = subject.gradient(subject.core, subject.memory, subject.inputs.features, weights)
    assert_trees_close(whole, one_by_one, 2e-5)
    assert float(jnp.abs(whole[2]).max()) > 1e-3


@pytest.mark.parametrize("k", [0, 4, T - 1])
def test_a_start_in_the_middle_begins_afresh(subject, k):
    start = subject.start.at[k].set(True)
    memory, y = subject.scan(subject.core, subject.memory, subject.inputs, start)
    fresh = subject.scan(subject.core, subject.core.initial(B), subject.at(slice(k, None)), start[k:])
    assert_trees_close((memory, y[k:]), fresh, 1e-6)


def test_without_a_start_the_memory_matters(subject):
    never = jnp.zeros((T, B), bool)
    _, carried = subject.scan(subject.core, subject.memory, subject.inputs, never)
    _, fresh = subject.scan(subject.core, subject.core.initial(B), subject.inputs, never)
    assert (float(jnp.abs(carried - fresh).max()) > 0.01) == (subject.name != "none")


@pytest.mark.parametrize("name", sorted(set(CORES) - {"none"}))
def test_a_fresh_core_tells_what_it_saw_ten_steps_ago(name, quick):
    """At least 0.4 % of its output, mean over 8 cores: where it is 0.01 % no policy gradient finds a cue."""
    make = functools.partial(CORES[name], features=32, rows=0, width=64)
    rng = np.random.default_rng(5)
    # Two inputs that differ in the first step alone; features as a fresh encoder gives them, of the order of 0.3.
    features = np.repeat(0.3 * rng.normal(size=(11, 1, 32)), 2, 1)
    features[0, 1] = 0.3 * rng.normal(size=32)

    def outputs(key):
        core = make(key)
        inputs = CoreInput(jnp.asarray(features, jnp.float32), jnp.zeros((11, 2, 0), jnp.int32))
        return core.scan(core.initial(2), inputs, jnp.zeros((11, 2), bool))[1]

    last = np.asarray(quick(jax.vmap(outputs))(jax.random.split(jax.random.key(6), 8)))[:, -1]
    apart, size = np.linalg.norm(last[:, 0] - last[:, 1], axis=-1), np.linalg.norm(last, axis=-1).mean(-1)
    assert (apart / size).mean() >= 0.004


@pytest.mark.parametrize("k", [0, 3])
def test_nan_does_not_cross_a_start(subject, k):
    memory = jax.tree.map(lambda m: m.at[2].set(jnp.nan), subject.memory)
    start = subject.start.at[:k, 2].set(False).at[k, 2].set(True)
    last, y = subject.scan(subject.core, memory, subject.inputs, start)
    clean, expected = subject.scan(subject.core, subject.memory, subject.inputs, start)
    assert_trees_close((last, y[k:]), (clean, expected[k:]), 1e-6)
    if k and subject.name != "none":
        assert bool(jnp.isnan(y[:k, 2]).all())
    others = np.array([0, 1, 3])
    assert_trees_close(y[:, others], expected[:, others], 1e-6)


def test_nan_before_a_start_leaves_the_gradient_finite(subject, quick):
    memory = jax.tree.map(lambda m: m.at[:].set(jnp.nan), subject.memory)
    start = subject.start.at[0].set(True)
    gradient = quick(jax.grad(lambda core: jnp.sum(core.scan(memory, subject.inputs, start)[1])))(subject.core)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(gradient))


@pytest.mark.parametrize("k", [1, 5, T - 1])
def test_time_may_be_split_anywhere(subject, k):
    whole = subject.scan(subject.core, subject.memory, subject.inputs, subject.start)
    memory, first = subject.scan(subject.core, subject.memory, subject.at(slice(k)), subject.start[:k])
    memory, second = subject.scan(subject.core, memory, subject.at(slice(k, None)), subject.start[k:])
    assert_trees_close((memory, jnp.concatenate([first, second])), whole, 1e-6)


def test_alternatives_are_one_step_each(subject, quick):
    inputs = subject.at(0)
    inputs = inputs._replace(rows=jnp.array([[0, 3], [2, 6], [5, 5], [-1, 1]], jnp.int32))
    old = inputs.rows[:, 0]  # unknown in the last batch entry; in the third the same row stands twice
    new = jnp.arange(2, 6)
    memory, y = quick(lambda core, *args: core.alternatives(*args))(subject.core, subject.memory, inputs, old, new)
    never = jnp.zeros(B, bool)
    for k, row in enumerate(new):
        edited = inputs._replace(rows=inputs.rows.at[:, 0].set(row))
        naive = subject.step(subject.core, subject.memory, edited, never)
        assert_trees_close(y[k], naive[1], 1e-6)
        if subject.name != "none":
            assert_trees_close(jax.tree.map(lambda m, k=k: m[k], memory), naive[0], 1e-6)


def test_rows_out_of_range_give_nothing(subject):
    """A core whose table is zero says the same as one that reads no row at all."""
    never = jnp.zeros(B, bool)
    silent = CoreInput(subject.inputs.features[0], jnp.full((B, 2), -1, jnp.int32))
    without = eqx.tree_at(lambda core: core.product.table, subject.core, jnp.zeros((ROWS, *subject.drive)))
    expected = subject.step(without, subject.memory, subject.at(0), never)
    for unknown in (-1, ROWS):
        silent = silent._replace(rows=jnp.full((B, 2), unknown, jnp.int32))
        assert_trees_close(subject.step(subject.core, subject.memory, silent, never), expected, 1e-6)


def test_a_core_without_discrete_inputs(subject, quick):
    make = functools.partial(CORES[subject.name], features=FEATURES, rows=0, width=WIDTH)
    core = eqx.tree_at(lambda core: core.product.table, subject.core, jnp.zeros((0, *subject.drive)))
    assert jax.tree.map(jnp.shape, jax.eval_shape(make, jax.random.key(1))) == jax.tree.map(jnp.shape, core)
    _, y = subject.scan(
        core, subject.memory, subject.inputs._replace(rows=jnp.zeros((T, B, 0), jnp.int32)), subject.start
    )
    silent = subject.inputs._replace(rows=jnp.full((T, B, 2), -1, jnp.int32))
    assert_trees_close(y, subject.scan(subject.core, subject.memory, silent, subject.start)[1], 1e-6)


def test_clear_by_hand():
    memory = {"a": jnp.arange(6.0).reshape(3, 2), "b": jnp.array([1.0, jnp.nan, 3.0])}
    initial = lambda batch: {"a": jnp.full((batch, 2), 9.0), "b": jnp.full(batch, 8.0)}  # noqa: E731
    got = clear(jnp.array([False, True, False]), memory, initial)
    np.testing.assert_array_equal(got["a"], [[0, 1], [9, 9], [4, 5]])
    np.testing.assert_array_equal(got["b"], [1, 8, 3])


def drive_by_hand(product, inputs):
    table = np.asarray(product.table, float)
    d = np.asarray(inputs.features, float) @ np.asarray(product.features, float) + np.asarray(product.bias, float)
    for t, b in np.ndindex(T, B):
        for row in np.asarray(inputs.rows[t, b]):
            if 0 <= row < len(table):
                d[t, b] += table[row]
    return d


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(core, memory, d, start):
    h, c = (np.asarray(m, float) for m in memory)
    u, ys = np.asarray(core.recurrent, float), []
    for t in range(T):
        h, c = (np.where(start[t][:, None], 0, m) for m in (h, c))
        i, f, g, o = np.split(d[t] + h @ u, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        ys.append(h)
    return (h, c), np.stack(ys)


def gru_by_hand(core, memory, d, start):
    h = np.asarray(memory, float)
    u, e, ys = np.asarray(core.recurrent, float), np.asarray(core.candidate_bias, float), []
    for t in range(T):
        h = np.where(start[t][:, None], 0, h)
        dz, dr, dh = np.split(d[t], 3, axis=-1)
        uz, ur, uh = np.split(h @ u, 3, axis=-1)
        z, r = sigmoid(dz + uz), sigmoid(dr + ur)
        h = z * h + (1 - z) * np.tanh(dh + r * (uh + e))
        ys.append(h)
    return h, np.stack(ys)


def none_by_hand(core, memory, d, start):
    return (), np.tanh(d)


def diagonal_by_hand(core, memory, d, start):
    (window, h), ys = (np.asarray(m, float) for m in memory), []
    for t in range(T):
        window, h = np.where(start[t][:, None, None], 0, window), np.where(start[t][:, None], 0, h)
        s, u, o = np.split(d[t], 3, axis=-1)
        window, c = convolved(core.convolution, window, u)
        h = (1 - sigmoid(s)) * h + sigmoid(s) * c
        ys.append(sigmoid(o) * np.tanh(h))
    return (window, h), np.stack(ys)


def convolved(convolution, window, u):
    seen = np.concatenate([window, u[:, None]], 1)
    weight, bias = (np.asarray(x, float) for x in (convolution.weight, convolution.bias))
    return seen[:, 1:], (seen * weight).sum(1) + bias


def normed(block, d):
    return d / np.sqrt(np.mean(d**2, -1, keepdims=True) + 1e-5) * np.asarray(block.norm.weight, float)


def s4d_by_hand(core, memory, d, start):
    """Modes as complex numbers, each for itself and its conjugate; gelu in its form with tanh, as JAX has it."""
    mixer, system = core.layer.mixer, core.layer.mixer.system
    step, A = np.exp(np.asarray(system.log_step, float)), -np.exp(np.asarray(system.log_decay, float))
    A = A + 1j * np.asarray(system.frequency, float)
    a, b = np.exp(step * A), (np.exp(step * A) - 1) / A
    split = lambda x: sum(np.split(np.asarray(x, complex), 2, -2) * np.array([1, 1j])[:, None, None])  # noqa: E731
    h = np.stack([split(each) for each in memory])
    x, ys = normed(core.layer, d), []
    for t in range(T):
        h = a * np.where(start[t][:, None, None], 0, h) + b * x[t][:, None, :]
        y = 2 * (split(system.readout) * h).real.sum(1) + np.asarray(system.feedthrough, float) * x[t]
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        u, v = np.split(y @ np.asarray(mixer.outward, float) + np.asarray(mixer.bias, float), 2, axis=-1)
        ys.append(d[t] + u * sigmoid(v))
    return np.concatenate([h.real, h.imag], 1), np.stack(ys)


def mamba_by_hand(core, memory, d, start):
    m = core.layer.mixer
    inward, select, low, outward = (np.asarray(x, float) for x in (m.inward, m.select, m.step_weight, m.outward))
    A, rank, states = -np.exp(np.asarray(m.A_log, float)), low.shape[0], m.A_log.shape[1]
    window, h = (np.asarray(x, float) for x in memory)
    x, ys = normed(core.layer, d), []
    for t in range(T):
        window, h = (np.where(start[t][:, None, None], 0, each) for each in (window, h))
        u, gate = np.split(x[t] @ inward, 2, axis=-1)
        window, v = convolved(m.convolution, window, u)
        v = v * sigmoid(v)
        rho, B, C = np.split(v @ select, [rank, rank + states], axis=-1)
        delta = np.log1p(np.exp(rho @ low + np.asarray(m.step_bias, float)))
        h = np.exp(delta[..., None] * A) * h + (delta * v)[..., None] * B[:, None, :]
        y = (h * C[:, None, :]).sum(-1) + np.asarray(m.D, float) * v
        ys.append(d[t] + (y * gate * sigmoid(gate)) @ outward)
    return (window, h), np.stack(ys)


BY_HAND = {
    "lstm": lstm_by_hand,
    "gru": gru_by_hand,
    "diagonal": diagonal_by_hand,
    "s4d": s4d_by_hand,
    "mamba": mamba_by_hand,
    "none": none_by_hand,
}


def test_cores_are_their_equations(subject):
    by_hand = BY_HAND[subject.name]
    d = drive_by_hand(subject.core.product, subject.inputs)
    memory, y = by_hand(subject.core, subject.memory, d, np.asarray(subject.start))
    got, got_y = subject.scan(subject.core, subject.memory, subject.inputs, subject.start)
    assert_trees_close([got_y, *jax.tree.leaves(got)], [y, *jax.tree.leaves(memory)], 2e-6)


def test_fresh_parameters(subject):
    bias = np.asarray(subject.fresh.product.bias)
    forget = slice(WIDTH, 2 * WIDTH)
    if subject.name == "lstm":  # the forget gate is open
        np.testing.assert_array_equal(bias[forget], 1.0)
        bias = np.delete(bias, np.arange(WIDTH, 2 * WIDTH))
    if subject.name == "diagonal":  # from the first unit, which takes half of what is new, to the last, 1 / 33
        np.testing.assert_allclose(1 / sigmoid(bias[:WIDTH].astype(float)) - 1, 32 ** np.linspace(0, 1, WIDTH), 1e-5)
        bias = bias[WIDTH:]
    np.testing.assert_array_equal(bias, 0.0)
    for x in (subject.fresh.product.features, subject.fresh.product.table, getattr(subject.fresh, "recurrent", None)):
        if x is not None:
            assert float(jnp.abs(x).max()) <= 1 / np.sqrt(WIDTH)
            assert float(jnp.std(x)) > 0.3 / np.sqrt(WIDTH)
