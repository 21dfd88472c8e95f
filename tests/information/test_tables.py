"""Tables of probabilities against identities, against SciPy, and in NumPy against JAX."""

import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from suasion.information import (
    check_distribution,
    conditional_entropy,
    conditional_mutual_information,
    conditional_mutual_information_at,
    cross_entropy,
    entropy,
    jensen_shannon,
    joint_from_conditional,
    kl_divergence,
    mutual_information,
    pointwise_mutual_information,
)

SHAPE = (3, 2, 4)


def distributions(*shape, axes=1, smallest=0.0):
    """Tables of this shape, batches before the last axes; many zeros, and numbers down to the smallest."""
    over = tuple(range(-axes, 0))

    def normal(values):
        values[np.broadcast_to(values.sum(over, keepdims=True) == 0, values.shape)] = 1.0
        return values / values.sum(over, keepdims=True)

    elements = st.just(0.0) | st.floats(smallest, 1.0)
    return hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()).map(normal)


def close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def flat(p, axes):
    return p.reshape(*p.shape[:-axes], -1)


def test_by_hand():
    assert entropy(np.array([0.5, 0.25, 0.25, 0.0]), unit="bits") == 1.5
    assert cross_entropy(np.array([0.5, 0.5]), np.array([0.25, 0.75]), unit="bits") == 0.5 * 2 + 0.5 * math.log2(4 / 3)
    assert kl_divergence(np.array([1.0, 0.0]), np.array([0.25, 0.75]), unit="bits") == 2
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]), unit="bits") == 1
    copied = np.diag([0.5, 0.5])
    assert mutual_information(copied, unit="bits") == 1
    assert conditional_entropy(copied) == 0
    np.testing.assert_array_equal(
        pointwise_mutual_information(copied, unit="bits"), [[1.0, -math.inf], [-math.inf, 1.0]]
    )
    # y = x xor z, all bits fair: x and y are independent, but equal or opposite once z is known.
    exclusive = np.array([[[x ^ y == z for z in (0, 1)] for y in (0, 1)] for x in (0, 1)]) / 4
    assert mutual_information(exclusive.sum(-1)) == 0
    close(conditional_mutual_information(exclusive, unit="bits"), 1)
    close(conditional_mutual_information_at(exclusive, unit="bits"), [1, 1])


def test_zeros():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0, 0.0])
    assert kl_divergence(p, q) == cross_entropy(p, q) == math.inf
    close(kl_divergence(q, p), math.log(2))
    close(cross_entropy(q, p), math.log(2))
    close(jensen_shannon(p, q), scipy.spatial.distance.jensenshannon(p, q) ** 2)
    assert entropy(q) == kl_divergence(q, q) == jensen_shannon(q, q) == 0
    assert not np.signbit(entropy(q))
    smallest = np.array([5e-324, 1.0])
    close(jensen_shannon(smallest, np.array([0.0, 1.0])), 0)


def test_what_never_occurs_is_undefined():
    p = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(pointwise_mutual_information(p), [[0.0, 0.0, np.nan], [np.nan, np.nan, np.nan]])
    assert mutual_information(p) == 0
    by_z = np.stack([p, 0 * p], -1)
    np.testing.assert_array_equal(conditional_mutual_information_at(by_z), [0.0, np.nan])
    assert conditional_mutual_information(by_z) == 0


@given(distributions(2, 5, smallest=1e-300), distributions(2, 5, smallest=1e-300))
def test_the_same_numbers_as_scipy(p, q):
    close(entropy(p), scipy.stats.entropy(p, axis=-1))
    close(kl_divergence(p, q), scipy.special.rel_entr(p, q).sum(-1))
    close(jensen_shannon(p, q), scipy.spatial.distance.jensenshannon(p, q, axis=-1) ** 2, 1e-9)


@given(distributions(2, 5, smallest=1e-300), distributions(2, 5, smallest=1e-300))  # half of the least number is 0
def test_divergences(p, q):
    close(cross_entropy(p, q), entropy(p) + kl_divergence(p, q))
    kl, js = kl_divergence(p, q), jensen_shannon(p, q)
    assert (kl >= -1e-12).all()
    assert (js >= -1e-12).all()
    assert (js <= math.log(2) + 1e-12).all()
    np.testing.assert_array_equal(js, jensen_shannon(q, p))
    np.testing.assert_array_equal(kl_divergence(p, p), np.zeros(2))
    np.testing.assert_array_equal(jensen_shannon(p, p), np.zeros(2))
    total_variation = np.abs(p - q).sum(-1) / 2
    assert (kl >= 2 * total_variation**2 - 1e-12).all(), "Pinsker: 0 for p = q only"
    mean = (p + q) / 2
    close(js, (kl_divergence(p, mean) + kl_divergence(q, mean)) / 2)
    close(js, entropy(mean) - (entropy(p) + entropy(q)) / 2)


@given(distributions(2, 3, 4, axes=2, smallest=1e-100))
def test_mutual_information_has_four_forms(p):
    """H + H - H, and N(16) = N(17) = N(18) of the notes."""
    x, y = p.sum(-1), p.sum(-2)
    information = mutual_information(p)
    close(information, entropy(x) + entropy(y) - entropy(flat(p, 2)))
    product = joint_from_conditional(x, np.broadcast_to(y[:, None, :], p.shape))
    close(information, kl_divergence(flat(p, 2), flat(product, 2)))
    pointwise = pointwise_mutual_information(p)
    close(information, np.where(p > 0, p * np.where(p > 0, pointwise, 0), 0).sum((-2, -1)))
    occurs = x > 0
    given_x = np.where(occurs[..., None], p / np.where(occurs, x, 1)[..., None], 1 / p.shape[-1])
    close(joint_from_conditional(x, given_x), p)
    divergence = kl_divergence(given_x, y[:, None, :])
    close(information, np.where(occurs, x * np.where(occurs, divergence, 0), 0).sum(-1))


@given(distributions(2, 3, 4, axes=2))
def test_bounds_and_symmetry_of_mutual_information(p):
    information = mutual_information(p)
    close(information, mutual_information(p.swapaxes(-1, -2)))
    assert (information >= -1e-12).all()
    assert (information <= np.minimum(entropy(p.sum(-1)), entropy(p.sum(-2))) + 1e-12).all()
    close(information, entropy(p.sum(-2)) - conditional_entropy(p))


@given(distributions(*SHAPE, axes=3))
def test_chain_rules(p):
    close(entropy(flat(p, 3)), entropy(p.sum((1, 2))) + conditional_entropy(p.reshape(3, 8)))
    x_and_pair = mutual_information(p.reshape(3, 8))
    close(x_and_pair, mutual_information(p.sum(1)) + conditional_mutual_information(p))


@given(distributions(*SHAPE, axes=3))
def test_conditional_mutual_information_is_the_average_of_its_values_at_z(p):
    """The slip in the notes' N-CMI: as written it is a value at one z."""
    at, p_z = conditional_mutual_information_at(p), p.sum((0, 1))
    np.testing.assert_array_equal(np.isnan(at), p_z == 0)
    for z in np.flatnonzero(p_z > 1e-300):
        close(at[z], mutual_information(p[..., z] / p_z[z]), 1e-9)
    close(conditional_mutual_information(p), np.sum(p_z * np.where(p_z > 0, at, 0)), 1e-9)


@given(distributions(3, 4, axes=2), distributions(4, 3))
def test_processing_does_not_make_information(p, channel):
    assert mutual_information(p @ channel) <= mutual_information(p) + 1e-12


# Every measure as one number of two tables p[x, y, z].
MEASURES = {
    "entropy": lambda p, q, **k: entropy(flat(p, 3), **k),
    "cross_entropy": lambda p, q, **k: cross_entropy(flat(p, 3), flat(q, 3), **k),
    "kl_divergence": lambda p, q, **k: kl_divergence(flat(p, 3), flat(q, 3), **k),
    "jensen_shannon": lambda p, q, **k: jensen_shannon(flat(p, 3), flat(q, 3), **k),
    "conditional_entropy": lambda p, q, **k: conditional_entropy(p.sum(-1), **k),
    "mutual_information": lambda p, q, **k: mutual_information(p.sum(-1), **k),
    "pointwise": lambda p, q, **k: pointwise_mutual_information(p.sum(-1), **k)[1, 1],
    "conditional": lambda p, q, **k: conditional_mutual_information(p, **k),
    "conditional_at": lambda p, q, **k: conditional_mutual_information_at(p, **k)[1],
    "joint": lambda p, q, **k: entropy(flat(joint_from_conditional(p.sum((1, 2)), p[:, 0, :2] * 0 + 0.5), 2), **k),
}
_jitted = {name: jax.jit(measure) for name, measure in MEASURES.items()}
_gradients = {name: jax.jit(jax.grad(measure, (0, 1))) for name, measure in MEASURES.items()}


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=12)
@given(distributions(*SHAPE, axes=3, smallest=1e-6), distributions(*SHAPE, axes=3, smallest=1e-6))
def test_numpy_is_jitted_jax(name, p, q):
    p, q = p.astype(np.float32), q.astype(np.float32)
    ours = MEASURES[name](p.astype(np.float64), q.astype(np.float64))
    close(_jitted[name](p, q), ours, 2e-5)
    if np.isfinite(ours):
        for gradient in _gradients[name](p, q):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", MEASURES)
def test_bits_and_eager_jax(name):
    p, q = np.random.default_rng(0).dirichlet(np.ones(24), 2).reshape(2, *SHAPE)
    nats = MEASURES[name](p, q)
    close(MEASURES[name](p, q, unit="bits"), nats / math.log(2))
    close(MEASURES[name](jnp.asarray(p), jnp.asarray(q)), nats, 2e-5)


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_are_central_differences(name):
    rng = np.random.default_rng(1)
    logits, directions = rng.normal(size=(2, *SHAPE)), rng.normal(size=(5, 2, *SHAPE))
    measure = MEASURES[name]

    def of_logits(logits):
        return measure(jax.nn.softmax(logits[0], (0, 1, 2)), jax.nn.softmax(logits[1], (0, 1, 2)))

    def difference(direction, h=1e-5):
        above, below = (scipy.special.softmax(logits + s * direction, axis=(1, 2, 3)) for s in (h, -h))
        return (measure(*above) - measure(*below)) / (2 * h)

    gradient = np.asarray(jax.jit(jax.grad(of_logits))(logits.astype(np.float32)), np.float64)
    for direction in directions:
        close((gradient * direction).sum(), difference(direction), 1e-4)


def test_batches_stretch_and_vmap():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5), (3, 1)), rng.dirichlet(np.ones(5), (1, 4))
    table = kl_divergence(p, q)
    assert table.shape == (3, 4)
    close(table[2, 1], kl_divergence(p[2, 0], q[0, 1]))
    close(kl_divergence(jnp.asarray(p), jnp.asarray(q)), table, 1e-5)
    close(jax.vmap(kl_divergence)(jnp.asarray(p[:, 0]), jnp.asarray(q[0, :3])), np.diagonal(table), 1e-5)
    close(jax.jit(kl_divergence)(p, jnp.asarray(q)), table, 1e-5)
    close(jax.jit(lambda q: kl_divergence(p, q))(q), table, 1e-5)
    assert isinstance(kl_divergence(p, jnp.asarray(q)), jax.Array)
    assert entropy(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_stays(dtype):
    p = np.full(SHAPE, 1 / 24, dtype)
    for name, measure in MEASURES.items():
        assert measure(p, p).dtype == dtype, name
        assert _jitted[name](p.astype(np.float32), p.astype(np.float32)).dtype == np.float32, name
    assert joint_from_conditional(p[0, :, 0] * 12, p[0] * 6).dtype == dtype
    assert entropy(jnp.full(4, 0.25, jnp.bfloat16)).dtype == jnp.bfloat16


def test_nan_stays_nan_where_it_cannot_be_refused():
    p, q = np.full(SHAPE, 1 / 24, np.float32), np.full(SHAPE, 1 / 24, np.float32)
    p[0] = np.nan
    for name in MEASURES:
        if name not in ("pointwise", "conditional_at"):
            assert np.isnan(_jitted[name](p, q)), name


@pytest.mark.parametrize(
    ("p", "axis", "fault"),
    [
        (np.array([0.5, 0.4]), -1, r"^p sums to 0\.9, not 1$"),
        (np.array([[[0.5, 0.5]] * 2] * 2 + [[[0.5, 0.5], [0.5, 0.4]]]), -1, r"^p\[2, 1\] sums to 0\.9, not 1$"),
        (np.array([[[0.5, 0.5]], [[0.5, 0.6]]]), (-2, -1), r"^p\[1\] sums to 1\.1, not 1$"),
        (np.array([[0.5, 0.5], [0.5, 0.4]]), 0, r"^p\[:, 1\] sums to 0\.9, not 1$"),
        (np.array([[0.5, 0.5], [-0.5, 1.5]]), -1, r"^p\[1, 0\] is -0\.5, must be a probability$"),
        (np.array([[0.5, np.nan]]), -1, r"^p\[0, 1\] is nan"),
        (np.array([np.inf, 0.5]), -1, r"^p\[0\] is inf"),
        (np.array([0.5, 0.5 + 2e-6]), -1, r"^p sums to 1\.000002, not 1$"),
        (np.array([0.5, 0.5 + 2e-4], np.float32), -1, r"^p sums to 1\.0002, not 1$"),
        (np.zeros((2, 0)), -1, r"^p\[0\] sums to 0, not 1$"),
        (np.array(1.0), -1, "out of bounds"),
        (np.array([1.0]), (-2, -1), "out of bounds"),
    ],
)
def test_what_is_no_distribution_is_refused(p, axis, fault):
    for array in (p, jnp.asarray(p)) if p.dtype == np.float32 else (p,):
        with pytest.raises(ValueError, match=fault):
            check_distribution(array, axis=axis)


def test_sums_may_be_off_by_rounding():
    check_distribution(np.array([0.5, 0.5 + 5e-7]))
    check_distribution(np.array([0.5, 0.5 + 5e-5], np.float32))
    check_distribution(jnp.array([0.3, 0.7], jnp.bfloat16))


@pytest.mark.usefixtures("unchecked")
def test_every_function_refuses():
    good, bad, joint = np.array([0.5, 0.5]), np.array([0.5, 0.4]), np.full((2, 2, 2), 0.125)
    for pair in (cross_entropy, kl_divergence, jensen_shannon):
        with pytest.raises(ValueError, match=r"^p sums to 0\.9"):
            pair(bad, good)
        with pytest.raises(ValueError, match=r"^q sums to 0\.9"):
            pair(good, bad)
        for wrong in (np.ones(3) / 3, good[None], np.ones(1), np.array(1.0)):
            with pytest.raises(ValueError, match=r"p is \[2\], q \[.*\]: their shapes do not agree"):
                pair(good, wrong)
            with pytest.raises(ValueError, match="do not agree"):
                jax.jit(pair)(good, wrong)
        with pytest.raises(ValueError, match="'nats' or 'bits'"):
            pair(good, good, unit="bit")
    for single, table in (
        (entropy, good),
        (conditional_entropy, joint[0] * 2),
        (mutual_information, joint[0] * 2),
        (pointwise_mutual_information, joint[0] * 2),
        (conditional_mutual_information, joint),
        (conditional_mutual_information_at, joint),
    ):
        with pytest.raises(ValueError, match=r"^p sums to 0\.5"):
            single(table / 2)
        with pytest.raises(ValueError, match="out of bounds"):
            single(table[0])
        with pytest.raises(ValueError, match="unit is 'bit'"):
            single(table, unit="bit")
    with pytest.raises(ValueError, match=r"^policy sums to 0\.9"):
        joint_from_conditional(bad, np.stack([good, good]))
    with pytest.raises(ValueError, match=r"^conditional\[1\] sums to 0\.9"):
        joint_from_conditional(good, np.stack([good, bad]))
    with pytest.raises(ValueError, match=r"policy is \[2\], the conditional without y \[1\]"):
        joint_from_conditional(good, good[None])


def test_jax_is_not_imported():
    program = """
import sys
import numpy as np
from suasion.information import jensen_shannon_from_logs, mutual_information, permutation_null
mutual_information(np.full((2, 2), 0.25))
jensen_shannon_from_logs(np.log([0.5, 0.5]), np.log([0.5, 0.5]))
permutation_null(np.array([0, 1]), np.array([0, 1]), permutations=2, seed=0)
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
