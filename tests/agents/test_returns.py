"""Returns against their definitions in plain Python, against identities, and against rlax."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.agents import lambda_returns, n_step_returns, next_values, vtrace_returns

T, B = 7, 3
discounts = st.sampled_from([0.0, 0.9, 1.0])
lambdas = st.sampled_from([0.0, 0.6, 1.0])
seeds = st.integers(0, 10_000)

_next = jax.jit(next_values)
_lambda = jax.jit(lambda_returns, static_argnames=("discount", "lambda_"))
_n_step = jax.jit(n_step_returns, static_argnames=("discount", "n"))
_v_trace = jax.jit(vtrace_returns, static_argnames=("discount", "lambda_", "clip"))


class Story:
    """Random rewards, values and ends, in float64 and as the functions want them."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.rewards, self.values, self.at_truncation = rng.normal(size=(3, T, B))
        self.bootstrap = rng.normal(size=B)
        self.log_ratio = rng.normal(size=(T, B))
        self.terminated, self.truncated = rng.random((2, T, B)) < 0.2
        self.ended = self.terminated | self.truncated
        f = functools.partial(jnp.asarray, dtype=jnp.float32)
        following = _next(f(self.values), f(self.bootstrap), f(self.at_truncation), self.terminated, self.truncated)
        self.arguments = (f(self.rewards), f(self.values), following, jnp.asarray(self.ended))

    def following(self, t, b):
        """v(S_{t+1})."""
        if self.terminated[t, b]:
            return 0.0
        if self.truncated[t, b]:
            return self.at_truncation[t, b]
        return self.values[t + 1, b] if t + 1 < T else self.bootstrap[b]

    def last(self, t, b):
        """The last step of the episode that step t belongs to, or of the trajectory."""
        while not self.ended[t, b] and t + 1 < T:
            t += 1
        return t

    def n_step(self, t, b, n, discount):
        """R_{t+1} + ... + gamma^{k-1} R_{t+k} + gamma^k v(S_{t+k}), k the smaller of n and what is left."""
        k = min(n, self.last(t, b) - t + 1)
        paid = sum(discount**i * self.rewards[t + i, b] for i in range(k))
        return paid + discount**k * self.following(t + k - 1, b)

    def forward_view(self, t, b, discount, lambda_):
        """(1 - lambda) sum of lambda^{n-1} G^(n), and the rest of the weight on the longest."""
        longest = self.last(t, b) - t + 1
        early = sum((1 - lambda_) * lambda_ ** (n - 1) * self.n_step(t, b, n, discount) for n in range(1, longest))
        return early + lambda_ ** (longest - 1) * self.n_step(t, b, longest, discount)

    def v_trace(self, t, b, discount, lambda_, clip):
        total, product = self.values[t, b], 1.0
        for k in range(t, self.last(t, b) + 1):
            delta = self.rewards[k, b] + discount * self.following(k, b) - self.values[k, b]
            ratio = np.exp(self.log_ratio[k, b])
            total += discount ** (k - t) * product * min(clip, ratio) * delta
            product *= lambda_ * min(1.0, ratio)
        return total

    def v_trace_advantage(self, t, b, discount, lambda_, clip):
        ends = self.ended[t, b] or t + 1 == T
        after = self.following(t, b) if ends else self.v_trace(t + 1, b, discount, lambda_, clip)
        rho = min(clip, np.exp(self.log_ratio[t, b]))
        return rho * (self.rewards[t, b] + discount * after - self.values[t, b])


def everywhere(f):
    return np.array([[f(t, b) for b in range(B)] for t in range(T)])


def close(x, y, tolerance=2e-5):
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@given(seeds)
def test_values_that_follow(seed):
    story = Story(seed)
    close(story.arguments[2], everywhere(story.following), 1e-6)


@given(seeds, discounts, st.sampled_from([1, 3, T - 1, T]))
def test_n_step_returns_by_definition(seed, discount, n):
    story = Story(seed)
    got = _n_step(*story.arguments, discount=discount, n=n)
    expected = everywhere(lambda t, b: story.n_step(t, b, n, discount))
    close(got.value, expected)
    close(got.advantage, expected - story.values)


@given(seeds, discounts, lambdas)
def test_lambda_returns_are_the_forward_view(seed, discount, lambda_):
    story = Story(seed)
    got = _lambda(*story.arguments, discount=discount, lambda_=lambda_)
    expected = everywhere(lambda t, b: story.forward_view(t, b, discount, lambda_))
    close(got.value, expected)
    close(got.advantage, expected - story.values)


@given(seeds, st.sampled_from([(0.9, 1.0, 1.0), (0.9, 0.6, 1.0), (1.0, 1.0, 2.0), (0.9, 0.0, 0.5), (0.0, 1.0, 1.0)]))
def test_v_trace_by_definition(seed, numbers):
    story, (discount, lambda_, clip) = Story(seed), numbers
    got = _v_trace(
        *story.arguments, jnp.asarray(story.log_ratio, jnp.float32), discount=discount, lambda_=lambda_, clip=clip
    )
    close(got.value, everywhere(lambda t, b: story.v_trace(t, b, discount, lambda_, clip)))
    close(got.advantage, everywhere(lambda t, b: story.v_trace_advantage(t, b, discount, lambda_, clip)))


@given(seeds)
def test_identities(seed):
    arguments, none = Story(seed).arguments, jnp.zeros((T, B))
    td = _lambda(*arguments, discount=0.9, lambda_=0.0)
    whole = _n_step(*arguments, discount=0.9, n=T)
    rewards, _, following, _ = arguments
    close(td.value, rewards + 0.9 * following, 1e-6)
    corrected = _v_trace(*arguments, none, discount=0.9, lambda_=0.6, clip=1.0)
    close(corrected.value, _lambda(*arguments, discount=0.9, lambda_=0.6).value, 1e-5)
    for got, expected in (
        (_n_step(*arguments, discount=0.9, n=1), td),
        (_lambda(*arguments, discount=0.9, lambda_=1.0), whole),
        (_n_step(*arguments, discount=0.9, n=T + 5), whole),
        (_v_trace(*arguments, none, discount=0.9, lambda_=1.0, clip=1.0), whole),
        (
            _v_trace(*arguments, none, discount=0.9, lambda_=0.6, clip=1.0).value,
            _lambda(*arguments, discount=0.9, lambda_=0.6).value,
        ),
    ):
        jax.tree.map(lambda x, y: close(x, y, 1e-5), got, expected)


def test_nothing_crosses_the_end_of_an_episode():
    """Not even NaN: what comes after an end has no say in what was before."""
    arguments = list(Story(1).arguments)
    arguments[3] = jnp.zeros((T, B), bool).at[3].set(True)
    for f in (
        lambda *a: _lambda(*a, discount=0.9, lambda_=0.6),
        lambda *a: _n_step(*a, discount=0.9, n=3),
        lambda *a: _n_step(*a, discount=0.9, n=T),
        lambda *a: _v_trace(*a, jnp.zeros((T, B)), discount=0.9, lambda_=0.6, clip=1.0),
    ):
        clean = f(*arguments)
        broken = f(arguments[0].at[4:].set(jnp.nan), *arguments[1:])
        for x, y in zip(clean, broken, strict=True):
            np.testing.assert_array_equal(x[:4], y[:4])


def test_any_number_of_batch_axes():
    arguments = Story(2).arguments
    for f in (
        functools.partial(lambda_returns, discount=0.9, lambda_=0.6),
        functools.partial(n_step_returns, discount=0.9, n=2),
        functools.partial(n_step_returns, discount=0.9, n=T),
    ):
        flat = f(*arguments)
        deep = f(*(x[:, None, :, None] for x in arguments))
        single = f(*(x[:, 1] for x in arguments))
        for x, y, z in zip(flat, deep, single, strict=True):
            close(y[:, 0, :, 0], x, 1e-6)
            close(z, x[:, 1], 1e-6)


@pytest.fixture(scope="module")
def rlax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, as they are imported
        import rlax

    return rlax


@pytest.mark.parametrize("seed", range(4))
def test_returns_agree_with_rlax(seed, rlax):
    """rlax knows no truncation: there gamma v goes into the reward and the discount becomes 0, which is the same."""
    story = Story(seed)
    rewards, values, following, ended = (np.asarray(x) for x in story.arguments)
    discount = np.where(ended, 0.0, 0.9).astype(np.float32)
    rewards = np.where(ended, rewards + 0.9 * following, rewards).astype(np.float32)
    rho = np.exp(story.log_ratio).astype(np.float32)
    ours = {
        "lambda": _lambda(*story.arguments, discount=0.9, lambda_=0.6),
        "n_step": _n_step(*story.arguments, discount=0.9, n=3),
        "v_trace": _v_trace(*story.arguments, jnp.log(rho), discount=0.9, lambda_=1.0, clip=1.0),
        "v_trace 0.6": _v_trace(*story.arguments, jnp.log(rho), discount=0.9, lambda_=0.6, clip=1.0),
    }
    for b in range(B):
        r, g, v, v_next = (jnp.asarray(x[:, b]) for x in (rewards, discount, values, following))
        whole = jnp.concatenate([v, v_next[-1:]])
        following_b = whole[1:]
        close(ours["lambda"].value[:, b], rlax.lambda_returns(r, g, following_b, 0.6))
        close(ours["lambda"].advantage[:, b], rlax.truncated_generalized_advantage_estimation(r, g, 0.6, whole))
        close(ours["n_step"].value[:, b], rlax.n_step_bootstrapped_returns(r, g, following_b, 3))
        theirs = rlax.vtrace_td_error_and_advantage(v, following_b, r, g, jnp.asarray(rho[:, b]), 1.0)
        close(ours["v_trace"].advantage[:, b], theirs.pg_advantage)
        close(ours["v_trace"].value[:, b], theirs.errors + v)
        # With lambda below 1 rlax mixes it into the advantage as well; the values are the same.
        theirs = rlax.vtrace_td_error_and_advantage(v, following_b, r, g, jnp.asarray(rho[:, b]), 0.6)
        close(ours["v_trace 0.6"].value[:, b], theirs.errors + v)


@given(seeds)
def test_an_advantage_without_its_ratio(seed):
    story = Story(seed)
    settings = {"discount": 0.9, "lambda_": 0.7, "clip": 0.8}
    log_ratio = jnp.asarray(story.log_ratio, jnp.float32)
    weighted, bare = (
        vtrace_returns(*story.arguments, log_ratio, **settings, weighted=weighted) for weighted in (True, False)
    )
    rho = np.minimum(0.8, np.exp(story.log_ratio))
    assert rho.min() < 0.5
    close(bare.advantage * rho, weighted.advantage)
    close(weighted.advantage, everywhere(lambda t, b: story.v_trace_advantage(t, b, **settings)))
    np.testing.assert_array_equal(bare.value, weighted.value)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_numbers_out_of_range_are_refused(wrong):
    arguments = Story(0).arguments
    for f in (
        functools.partial(lambda_returns, discount=wrong, lambda_=0.5),
        functools.partial(lambda_returns, discount=0.5, lambda_=wrong),
        functools.partial(n_step_returns, discount=wrong, n=2),
        functools.partial(vtrace_returns, log_ratio=arguments[0], discount=wrong),
        functools.partial(vtrace_returns, log_ratio=arguments[0], discount=0.5, lambda_=wrong),
    ):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            f(*arguments)
    with pytest.raises(ValueError, match="clip"):
        vtrace_returns(*arguments, arguments[0], discount=0.5, clip=min(wrong, 0.0))
    for n in (0, -2):
        with pytest.raises(ValueError, match=f"n is {n}"):
            n_step_returns(*arguments, discount=0.5, n=n)
