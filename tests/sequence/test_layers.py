"""The contract of layers, for each of them, and their equations in NumPy."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.sequence import S4D, Block, CausalConvolution, DiagonalSSM, Mamba, MambaMemory, MinGRU, RMSNorm, _chunks
from suasion.sequence._diagonal import linear_scan
from suasion.statespace import DiscreteSystem

T, B, WIDTH = 37, 3, 4
LAYERS = {
    "mamba": lambda key: Mamba.init(key, width=WIDTH, states=3),
    "mamba-euler": lambda key: Mamba.init(key, width=WIDTH, states=3, taps=2, rank=2, discretization="euler"),
    "s4d-lin": lambda key: S4D.init(key, width=WIDTH, states=3),
    "s4d-real": lambda key: S4D.init(key, width=WIDTH, states=3, modes="real"),
    "min-gru": lambda key: MinGRU.init(key, width=WIDTH),
    "block": lambda key: Block.init(Mamba.init(key, width=WIDTH, states=2)),
}


class Subject:
    """A layer with random parameters, memory and inputs, and its verbs compiled once."""

    def __init__(self, name, quick, perturbed):
        self.name = name
        self.layer = perturbed(quick(LAYERS[name])(jax.random.key(0)), 1)
        self.memory = perturbed(self.layer.initial(B), 2)
        rng = np.random.default_rng(3)
        self.x = jnp.asarray(rng.normal(size=(T, B, WIDTH)), jnp.float32)
        self.start = jnp.asarray(rng.random((T, B)) < 0.1)
        self.scan = quick(lambda layer, *args: layer.scan(*args))
        self.step = quick(lambda layer, *args: layer.step(*args))
        self.run = functools.partial(self.scan, self.layer)

    def stepwise(self, layer, memory, x, start):
        ys = []
        for t in range(len(x)):
            memory, y = self.step(layer, memory, x[t], None if start is None else start[t])
            ys.append(y)
        return memory, jnp.stack(ys)


@pytest.fixture(scope="module", params=LAYERS)
def subject(request, quick, perturbed):
    return Subject(request.param, quick, perturbed)


def test_a_fresh_memory_is_zero_with_the_batch_first(subject):
    for leaf in jax.tree.leaves(subject.layer.initial(6)):
        assert leaf.shape[0] == 6
        np.testing.assert_array_equal(leaf, 0.0)
    assert subject.layer.width == WIDTH


@pytest.mark.parametrize("started", [True, False])
def test_scan_is_step_repeated(started, subject, assert_close):
    start = subject.start if started else None
    found = subject.run(subject.memory, subject.x, start)
    assert_close(found, subject.stepwise(subject.layer, subject.memory, subject.x, start), 1e-6)
    assert found[1].shape == (T, B, WIDTH)


def test_scan_is_step_repeated_in_float64(subject, assert_close):
    with jax.enable_x64(True):
        wide = functools.partial(jax.tree.map, lambda v: v.astype("float64"))
        args = wide(subject.layer), wide(subject.memory), wide(subject.x)
        found = subject.scan(*args, subject.start)
        assert found[1].dtype == "float64"
        assert_close(found, subject.stepwise(*args, subject.start), 1e-13)


def test_the_gradient_of_scan_is_that_of_step_repeated(subject, quick, assert_close):
    weights = jnp.asarray(np.random.default_rng(4).normal(size=(T, B, WIDTH)), jnp.float32)

    def scalar(memory, y):
        return jnp.sum(weights * y) + sum(jnp.sum(jnp.sin(m)) for m in jax.tree.leaves(memory))

    def whole(layer, memory, x):
        return scalar(*layer.scan(memory, x, subject.start))

    def one_by_one(layer, memory, x):
        body = lambda memory, now: layer.step(memory, *now)  # noqa: E731
        return scalar(*jax.lax.scan(body, memory, (x, subject.start)))

    found, expected = (
        quick(jax.grad(lambda args, f=f: f(*args)))((subject.layer, subject.memory, subject.x))
        for f in (whole, one_by_one)
    )
    assert_close(found, expected, 2e-6)
    assert all(g.any() for g in jax.tree.leaves(found))


@pytest.mark.parametrize("k", [1, 20, T - 1])
def test_time_may_be_split_anywhere(k, subject, assert_close):
    for start in (subject.start, None):
        cut = lambda part, start=start: None if start is None else start[part]  # noqa: E731
        memory, first = subject.run(subject.memory, subject.x[:k], cut(slice(k)))
        memory, second = subject.run(memory, subject.x[k:], cut(slice(k, None)))
        whole = subject.run(subject.memory, subject.x, start)
        assert_close((memory, jnp.concatenate([first, second])), whole, 1e-6)


@pytest.mark.parametrize("k", [1, 20, T - 1])
def test_a_start_begins_afresh_and_no_nan_crosses(k, subject, assert_close):
    start = subject.start.at[k].set(True)
    alone = subject.run(subject.layer.initial(B), subject.x[k:], start[k:])
    memory, y = subject.run(subject.memory, subject.x, start)
    assert_close((memory, y[k:]), alone, 1e-6)
    spoilt = jax.tree.map(lambda m: jnp.full_like(m, jnp.nan), subject.memory)
    memory, y = subject.run(spoilt, subject.x.at[:k].set(jnp.nan), start)
    assert_close((memory, y[k:]), alone, 1e-6)
    assert bool(jnp.isnan(y[:k]).all())


def test_nan_before_a_start_leaves_the_gradient_finite(subject, quick):
    memory = jax.tree.map(lambda m: jnp.full_like(m, jnp.nan), subject.memory)
    start = subject.start.at[0].set(True)
    gradient = quick(jax.grad(lambda layer: jnp.sum(layer.scan(memory, subject.x, start)[1])))(subject.layer)
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradient))


def test_causality_is_exact(subject, quick):
    """Of what comes with episodes; the Fourier transform is causal up to rounding."""
    k = 21
    for start, slack in ((subject.start, 0.0), (None, 2e-6 if "s4d" in subject.name else 0.0)):
        y = subject.run(subject.memory, subject.x, start)[1]
        moved = subject.run(subject.memory, subject.x.at[k:].add(1.0), start)[1]
        np.testing.assert_allclose(moved[:k], y[:k], rtol=0, atol=slack)
        assert float(jnp.abs(moved[k:] - y[k:]).max()) > 0.01


def test_bad_input_is_refused(subject):
    layer, memory = subject.layer, subject.memory
    with pytest.raises(ValueError, match=r"x has shape \(0, 3, 4\): no steps"):
        layer.scan(memory, subject.x[:0])
    with pytest.raises(ValueError, match=r"x has shape \(37, 3, 3\): must have 4 channels"):
        layer.scan(memory, subject.x[..., :3])
    with pytest.raises(ValueError, match=r"start has shape \(36, 3\): must be \(37, 3\)"):
        layer.scan(memory, subject.x, subject.start[1:])
    with pytest.raises(ValueError, match=r"memory has shape \(2, "):
        layer.scan(layer.initial(2), subject.x)
    with pytest.raises(ValueError, match="memory is PyTreeDef"):
        layer.scan((), subject.x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved(convolution, window, x):
    """One sequence by `np.convolve`, channel by channel."""
    seen = np.concatenate([window, x])
    weight, bias = np.asarray(convolution.weight, float), np.asarray(convolution.bias, float)
    channels = [np.convolve(seen[:, c], weight[::-1, c], "valid") + bias[c] for c in range(x.shape[1])]
    return np.stack(channels, 1)


def test_mamba_is_its_equations(quick, perturbed, assert_close):
    layer = perturbed(quick(LAYERS["mamba-euler"])(jax.random.key(1)), 5)
    memory = perturbed(layer.initial(1), 6)
    x = np.random.default_rng(7).normal(size=(12, 1, WIDTH))
    wide = jax.tree.map(lambda v: np.asarray(v, float), layer)
    u, z = np.split(x[:, 0] @ wide.inward, 2, -1)
    v = convolved(layer.convolution, np.asarray(memory.window[0], float), u)
    v = v * sigmoid(v)
    low, b, c = np.split(v @ wide.select, (2, 5), -1)
    delta = np.logaddexp(0, low @ wide.step_weight + wide.step_bias)
    h, ys = np.asarray(memory.state[0], float), []
    for t in range(len(x)):
        h = np.exp(-delta[t][:, None] * np.exp(wide.A_log)) * h + (delta[t] * v[t])[:, None] * b[t]
        ys.append(h @ c[t] + wide.D * v[t])
    y = (np.stack(ys) * z * sigmoid(z)) @ wide.outward
    found = quick(lambda *args: layer.scan(*args))(memory, jnp.asarray(x, jnp.float32))
    window = np.concatenate([np.asarray(memory.window[0]), u])[-1:]
    assert_close(found, (MambaMemory(window[None], h[None]), y[:, None]), 1e-6)


def test_mamba_starts_as_its_paper_says(quick):
    layer = quick(functools.partial(Mamba.init, width=64))(jax.random.key(2))
    assert layer.inward.shape == (64, 256)
    assert layer.select.shape == (128, 4 + 32)
    assert layer.convolution.weight.shape == (4, 128)
    np.testing.assert_allclose(-np.exp(layer.A_log), -np.tile(np.arange(1.0, 17), (128, 1)), rtol=1e-6)
    first = np.log1p(np.exp(np.asarray(layer.step_bias, float)))
    assert 0.001 * 0.999 < first.min() < 0.002
    assert 0.05 < first.max() < 0.1 * 1.001
    np.testing.assert_array_equal(layer.D, 1.0)
    assert float(jnp.abs(layer.step_weight).max()) <= 0.5


@pytest.mark.parametrize("taps", [1, 3])
def test_convolution_of_other_lengths(taps, quick, perturbed, assert_close):
    convolution = CausalConvolution.init(jax.random.key(3), channels=2, taps=taps)
    window = perturbed(convolution.initial(1), 8)
    x = jnp.asarray(np.random.default_rng(9).normal(size=(5, 1, 2)), jnp.float32)
    last, y = quick(lambda *args: convolution.run(*args, None))(window, x)
    assert_close(y[:, 0], convolved(convolution, np.asarray(window[0]), np.asarray(x[:, 0])), 1e-6)
    assert last.shape == (1, taps - 1, 2)
    np.testing.assert_array_equal(last[0], np.concatenate([window[0], x[:, 0]])[5:])


def test_the_norm(assert_close):
    x = np.random.default_rng(10).normal(size=(3, 2, 5))
    norm = eqx.tree_at(lambda n: n.weight, RMSNorm.init(5), jnp.arange(1.0, 6))
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * np.arange(1.0, 6)
    assert_close(norm(jnp.asarray(x, jnp.float32)), expected, 1e-6)


@pytest.mark.parametrize("modes", ["lin", "real"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
def test_recurrence_is_convolution(modes, dtype, tolerance, quick, perturbed, assert_close):
    """Outputs, last memories and gradients, from a memory that is not zero; one and several chunks."""
    steps = 75
    make = functools.partial(DiagonalSSM.init, width=3, states=4, modes=modes)
    layer = quick(make)(jax.random.key(4))
    memory = perturbed(layer.initial(2), 11)
    rng = np.random.default_rng(12)
    x, weights = (jnp.asarray(rng.normal(size=(steps, 2, 3)), jnp.float32) for _ in range(2))
    never = jnp.zeros((steps, 2), bool)

    def scalar(args, form):
        layer, memory, x = args
        memory, y = form(layer, memory, x)
        return jnp.sum(weights * y) / steps + jnp.sum(jnp.sin(memory)), (memory, y)

    with jax.enable_x64(dtype == "float64"):
        args = jax.tree.map(lambda v: v.astype(dtype), (layer, memory, x))
        forms = (
            lambda layer, memory, x: layer.recurrence(memory, x, never),
            lambda layer, memory, x: layer.convolve(memory, x),
        )
        one, other = (quick(jax.grad(functools.partial(scalar, form=form), has_aux=True))(args) for form in forms)
        assert_close(one[1], other[1], tolerance)
        # An oscillation's phase adds up over the steps: its gradient has lost a digit in float32 in either form.
        assert_close(one[0], other[0], 3 * tolerance)


@pytest.mark.parametrize("modes", ["lin", "real"])
def test_the_kernel_is_that_of_the_linear_system(modes, quick, assert_close):
    with jax.enable_x64(True):
        layer = DiagonalSSM.init(jax.random.key(5), width=1, states=3, modes=modes)
        layer = jax.tree.map(lambda v: v.astype("float64"), layer)
        a, b = (np.asarray(v)[:, 0] for v in layer.discretise())
        c = np.asarray(layer.readout)[:, 0]
        kernel = np.asarray(quick(lambda layer: layer.kernel(50))(layer))[:, 0]
    if modes == "real":
        A, B_, C = np.diag(a), b[:, None], c[None]
    else:  # a complex mode as two real ones
        A = np.block([[np.diag(a.real), -np.diag(a.imag)], [np.diag(a.imag), np.diag(a.real)]])
        B_, C = np.concatenate([b.real, b.imag])[:, None], 2 * np.concatenate([c[:3], -c[3:]])[None]
    system = DiscreteSystem(A=A, B=B_, C=C)
    assert_close(kernel, system.kernel(50)[:, 0, 0], 1e-13)


def test_s4d_starts_as_its_paper_says(quick):
    make = functools.partial(DiagonalSSM.init, width=2, states=4)
    lin, real = (quick(functools.partial(make, modes=modes))(jax.random.key(6)) for modes in ("lin", "real"))
    np.testing.assert_allclose(-np.exp(lin.log_decay[:, 0]), -0.5, rtol=1e-6)
    np.testing.assert_allclose(lin.frequency[:, 1], np.pi * np.arange(4), rtol=1e-6)
    np.testing.assert_allclose(-np.exp(real.log_decay[:, 1]), -np.arange(1.0, 5), rtol=1e-6)
    assert real.frequency is None
    for layer in (lin, real):
        assert bool(((layer.log_step > np.log(1e-3) - 1e-6) & (layer.log_step < np.log(0.1) + 1e-6)).all())


@pytest.mark.parametrize(("steps", "batch", "work"), [(100, 1, 12), (37, 5, 6), (40, 2, 2**15)])
def test_linear_scan_and_its_gradient(steps, batch, work, quick, assert_close, monkeypatch):
    """Lanes, blocks and neither, against the loop that JAX differentiates."""
    monkeypatch.setattr(_chunks, "_WORK", work)
    rng = np.random.default_rng(13)
    a, b = (
        jnp.asarray(rng.random((steps, batch, 3)), jnp.float32),
        jnp.asarray(rng.normal(size=(steps, batch, 3)), jnp.float32),
    )
    state, start = jnp.asarray(rng.normal(size=(batch, 3)), jnp.float32), jnp.asarray(rng.random((steps, batch)) < 0.08)

    def plain(a, b, state):
        def step(h, now):
            a, b, start = now
            h = a * jnp.where(start[:, None], 0.0, h) + b
            return h, h

        return jax.lax.scan(step, state, (a, b, start))[1]

    fast = lambda a, b, state: linear_scan(a, b, state, start)  # noqa: E731
    weights = jnp.asarray(rng.normal(size=a.shape), jnp.float32)
    both = [
        quick(
            jax.value_and_grad(
                lambda *args, f=f: (jnp.sum(weights * jnp.sin(f(*args))), f(*args)), argnums=(0, 1, 2), has_aux=True
            )
        )(a, b, state)
        for f in (fast, plain)
    ]
    assert_close(both[0], both[1], 1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: Mamba.init(key, width=0), "width is 0: must be at least 1"),
        (lambda key: Mamba.init(key, width=4, states=0), "states is 0"),
        (lambda key: Mamba.init(key, width=4, taps=0), "taps is 0"),
        (lambda key: Mamba.init(key, width=4, gain=0.0), "gain is 0.0: must be positive"),
        (lambda key: Mamba.init(key, width=4, gain=np.nan), "gain is nan: must be positive"),
        (lambda key: Mamba.init(key, width=4, discretization="exact"), "discretization is 'exact'"),
        (lambda key: S4D.init(key, width=4, modes="legs"), "modes is 'legs': must be one of lin, real"),
        (lambda key: DiagonalSSM.init(key, width=4, states=0), "states is 0"),
        (lambda key: DiagonalSSM.init(key, width=4).kernel(0), "length is 0"),
        (lambda key: MinGRU.init(key, width=0), "width is 0"),
        (lambda key: RMSNorm.init(0), "width is 0"),
    ],
)
def test_sizes_that_make_no_layer_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(jax.random.key(0))
