"""Who is paid for what, and when: masks, the ends of episodes, PMI's action, what the term measures besides."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from suasion.agents import Params, Ratio, Trajectory
from suasion.agents._shards import SPLIT, WHOLE, spread
from suasion.influence import Imagined, Influence, influences, phases
from suasion.influence._divergence import weights
from suasion.networks import Observation, pairs_in_slots

T, B, N, A = 6, 2, 3, 4


@dataclasses.dataclass(frozen=True)
class Told:
    """A counterfactual that has been told what to imagine: random, but fixed."""

    ahead: int
    head: str = "action"

    def reaches(self, policy):
        return np.ones((N, N), bool)

    def imagine(self, params, policy, trajectory, weights):
        return IMAGINED


def _random(seed):
    logits = np.random.default_rng(seed).normal(size=(T, B, N, N, A))
    return jnp.asarray(logits - np.log(np.exp(logits).sum(-1, keepdims=True)), jnp.float32)


NETWORK = None  # the term reads no parameters itself
IMAGINED = Imagined(_random(0), _random(1))
ACTIONS = np.random.default_rng(2).integers(0, A, (T, B, N))
VISIBLE = np.random.default_rng(3).random((T, B, N, N)) < 0.5
TERMINATED = np.zeros((T, B), bool)
TRUNCATED = np.zeros((T, B), bool)
TERMINATED[1, 0] = TRUNCATED[3, 1] = TRUNCATED[T - 1, 1] = True
START = np.roll(TERMINATED | TRUNCATED, 1, 0)
OPENED = np.zeros((T, B))
OPENED[3, 0] = OPENED[4, 0] = 1
OPENED[1, 1] = 1


@pytest.fixture(scope="module")
def policy(games, make_policy):
    return make_policy(games.three())


@pytest.fixture(scope="module")
def trajectory():
    """Everything that the term reads of a trajectory; the rest is empty."""
    nothing = dict.fromkeys(Trajectory._fields)
    observation = Observation(
        codes=None,
        last_actions=None,
        visible=pairs_in_slots(jnp.asarray(VISIBLE)),
        current_actions=None,
        messages=None,
        available=None,
    )
    return Trajectory(
        **nothing
        | {
            "observation": observation,
            "symbols": {"action": jnp.asarray(ACTIONS)},
            "logits": {"action": jnp.zeros((T, B, N, A))},
            "terminated": jnp.asarray(TERMINATED),
            "truncated": jnp.asarray(TRUNCATED),
            "start": jnp.asarray(START),
            "events": {"opened": jnp.asarray(OPENED, jnp.float32)},
            "key": jax.random.split(jax.random.key(0), (T, B)),
        }
    )


def term(ahead, **changes):
    everybody = tuple(range(N))
    fields = {"counterfactual": Told(ahead), "influencers": everybody, "influenced": everybody}
    return Influence(**fields | changes)


def by_hand(ahead, kind="kl", who=range(N), whom=range(N), visible_only=False):
    """The pairs that count, one after the other."""
    actual, marginal = (np.asarray(part, float) for part in IMAGINED)
    pairs = np.zeros((T, B, N, N))
    for t, b, k, j in np.ndindex(*pairs.shape):
        last = t == T - 1 or TERMINATED[t, b] or TRUNCATED[t, b]
        if k == j or k not in who or j not in whom or (ahead and last) or (visible_only and not VISIBLE[t, b, k, j]):
            continue
        p, q = actual[t, b, k, j], marginal[t, b, k, j]
        if kind == "kl":
            pairs[t, b, k, j] = (np.exp(p) * (p - q)).sum()
        else:
            o = ACTIONS[t + ahead, b, j]
            pairs[t, b, k, j] = p[o] - q[o]
    return pairs


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "pmi"},
        {"who": (0, 2)},
        {"whom": (1,)},
        {"who": (0,), "whom": (1, 2), "visible_only": True},
        {"kind": "pmi", "visible_only": True},
    ],
    ids=str,
)
def test_pairs_and_steps_that_count(ahead, options, policy, trajectory):
    t = term(
        ahead,
        divergence=options.get("kind", "kl"),
        influencers=tuple(options.get("who", range(N))),
        influenced=tuple(options.get("whom", range(N))),
        visible_only=options.get("visible_only", False),
    )
    np.testing.assert_allclose(
        influences(t, policy, trajectory, IMAGINED), by_hand(ahead, **options), rtol=1e-4, atol=1e-5
    )


def test_the_last_step_of_an_episode_pays_only_for_the_same_step(policy, trajectory):
    last = TERMINATED | TRUNCATED
    last[-1] = True
    paid = {ahead: np.asarray(influences(term(ahead), policy, trajectory, IMAGINED)) for ahead in (0, 1)}
    off = ~np.eye(N, dtype=bool)
    assert (paid[0][:, :, off] > 0).all()
    np.testing.assert_array_equal(paid[1][last], 0.0)
    assert (paid[1][~last][:, off] > 0).all()


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("to_influenced", [False, True])
def test_who_is_paid(ahead, to_influenced, policy, trajectory):
    """The influencer, its influence on all; the influenced as well, the influence of all on it, where so agreed."""
    t = term(ahead, influencers=(0, 1), influenced=(1, 2), to_influenced=to_influenced)
    paid = t({}, Params(NETWORK, {}), policy, trajectory)
    pairs = by_hand(ahead, who=(0, 1), whom=(1, 2))
    expected = pairs.sum(3) + (pairs.sum(2) if to_influenced else 0.0)
    assert set(paid.streams) == {"action"}
    np.testing.assert_allclose(paid.streams["action"], expected, rtol=1e-4, atol=1e-5)
    for j in range(N):
        np.testing.assert_allclose(paid.metrics[f"on_agent_{j + 1}"], pairs[..., j].mean((0, 1)), rtol=1e-4, atol=1e-5)


def test_landmarks_tell_influence_apart(policy, trajectory):
    """Sums and counts of steps before, at and after the first event of an episode, for every influencer."""
    t = term(0, landmarks=("opened",))
    memory = {"opened": jnp.array([False, True])}
    paid = t(memory, Params(NETWORK, {}), policy, trajectory)
    exerted = by_hand(0).sum(3)
    # In environment 0 a new episode starts with step 2, in environment 1 (where it has been opened before) with 0, 4.
    phase = {
        "before": [(0, 0), (1, 0), (2, 0), (0, 1), (4, 1), (5, 1)],
        "at": [(3, 0), (1, 1)],
        "after": [(4, 0), (5, 0), (2, 1), (3, 1)],
    }
    for when, steps in phase.items():
        ratio = paid.metrics[f"{when}_opened"]
        assert isinstance(ratio, Ratio)
        np.testing.assert_allclose(ratio.total, sum(exerted[step] for step in steps), rtol=1e-4)
        np.testing.assert_array_equal(ratio.times, [len(steps)] * N)
    np.testing.assert_array_equal(paid.memory["opened"], [True, False])
    np.testing.assert_allclose(
        sum(paid.metrics[f"{when}_opened"].total for when in phase), exerted.sum((0, 1)), rtol=1e-4
    )


def marks(found):
    """One letter for every step of the only environment."""
    letters = [(when[0] if when != "at" else "x", np.asarray(where)[:, 0]) for when, where in found.items()]
    line = [[letter for letter, where in letters if where[t]] for t in range(len(letters[0][1]))]
    assert all(len(each) == 1 for each in line)  # every step lies in one phase
    return "".join(each[0] for each in line)


def steps(text):
    return jnp.array([letter == "1" for letter in text])[:, None]


@pytest.mark.parametrize(
    ("event", "start", "happened", "expected", "after"),
    [
        ("00100", "10000", False, "bbxaa", True),
        ("00000", "10000", False, "bbbbb", False),
        ("10000", "10000", False, "xaaaa", True),
        ("01010", "10000", False, "bxaaa", True),  # a second one is after the first
        ("01000", "10010", False, "bxabb", False),  # a new episode forgets
        ("01010", "10010", False, "bxaxa", True),
        ("00000", "00000", True, "aaaaa", True),  # carried over
        ("00100", "00100", True, "aaxaa", True),
        ("00000", "10000", True, "bbbbb", False),
    ],
)
def test_phases_by_hand(event, start, happened, expected, after):
    passed, found = phases(steps(event).astype(jnp.float32), steps(start), jnp.array([happened]))
    assert marks(found) == expected
    assert bool(passed[0]) is after


def test_phases_of_two_trajectories_are_those_of_one():
    rng = np.random.default_rng(0)
    event, start = jnp.asarray(rng.integers(0, 3, (40, 5)) // 2, jnp.float32), jnp.asarray(rng.random((40, 5)) < 0.1)
    none = jnp.zeros(5, bool)
    last, whole = phases(event, start, none)
    middle, first = phases(event[:17], start[:17], none)
    end, second = phases(event[17:], start[17:], middle)
    np.testing.assert_array_equal(end, last)
    for when, where in whole.items():
        np.testing.assert_array_equal(where, jnp.concatenate([first[when], second[when]]))


def test_drawn_marginals_give_about_the_exact_influence(world):
    """4,000 draws. Over 40 seeds no entry's deviation exceeds 0.010 nats; 0.05 are 5: false alarm below 5e-5."""
    w = world("simulator box")
    drawn = weights(w.trajectory, 4000)
    assert np.abs(w.fast("kl", weights=drawn) - w.naive("kl")).max() < 0.05
    assert np.abs(w.fast("kl", weights=drawn) - w.naive("kl")).max() > 1e-5


DEVICES = [
    ("basic harvest", "policy"),
    ("basic harvest", "average"),
    ("messages harvest", "average"),
    ("model harvest", "policy"),
    ("simulator three shared", "average"),
]


@pytest.mark.skipif(jax.device_count() < 2, reason="one device")
@pytest.mark.parametrize(("name", "marginal"), DEVICES)
def test_two_devices_pay_what_one_does(name, marginal, world, quick):
    """Each has half the environments; what somebody does on average is over all of them."""
    w = world(name)
    everybody = tuple(range(w.policy.spec.agents))
    t = Influence(counterfactual=w.source, influencers=everybody, influenced=everybody, marginal=marginal)
    trajectory = w.trajectory
    if w.model is not None:
        observe = quick(
            lambda: w.model.observe(w.params.auxiliary["model"], w.model_memory, w.params.policy, w.policy, trajectory)
        )
        trajectory = trajectory._replace(auxiliary={"model": observe()[1]})

    def pay(params, trajectory):
        paid = t({}, params, w.policy, trajectory)
        return paid.streams[w.source.head]

    late = PartitionSpec(None, *SPLIT)
    split = jax.tree.map(lambda _: late, trajectory)._replace(
        memory=jax.tree.map(lambda _: SPLIT, trajectory.memory),
        bootstrap=jax.tree.map(lambda _: SPLIT, trajectory.bootstrap),
    )
    one = quick(pay)(w.params, trajectory)
    two = quick(spread(pay, 2, (WHOLE, split), late))(w.params, trajectory)
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    policies = jax.nn.softmax(w.trajectory.logits[w.source.head]).mean(0)
    assert np.abs(policies[0] - policies[1]).max() > 0.01  # otherwise one half would know the average of both
