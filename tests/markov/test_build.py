"""Decision processes from other forms: all agree, and each refuses with state and action."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from suasion.markov import (
    Policy,
    bellman_optimality_v,
    from_arrays,
    from_dict,
    from_function,
    from_gymnasium,
    q_from_v,
    under,
)


def iterated(mdp, discount, sweeps=2000):
    v = np.zeros(mdp.n_states)
    for _ in range(sweeps):
        v = bellman_optimality_v(mdp, v, discount)
    return v


@given(st.integers(0, 2**32 - 1), st.sampled_from(["s", "sa", "ass"]), st.booleans())
def test_arrays_give_the_equation_of_the_book(seed, shape, thin):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(4, 0.4), (2, 4))
    reward = rng.normal(size={"s": (4,), "sa": (4, 2), "ass": (2, 4, 4)}[shape])
    v = rng.normal(size=4)
    matrices = [sparse.csr_matrix(m) for m in transition] if thin else transition
    pays = [sparse.csr_array(m) for m in reward] if thin and shape == "ass" else reward
    held = q_from_v(from_arrays(matrices, pays), v, 0.9).reshape(4, 2)
    each = {
        "s": lambda: np.broadcast_to(reward[:, None], (4, 2)),
        "sa": lambda: reward,
        "ass": lambda: np.einsum("ast,ast->sa", transition, reward),
    }[shape]()
    assert held == pytest.approx(each + 0.9 * np.einsum("ast,t->sa", transition, v), rel=1e-12, abs=1e-12)


def test_the_forms_agree():
    listed = {
        "low": {"wait": [(1.0, "low", 1.0)], "search": [(0.25, "high", -3.0), (0.5, "low", 2), (0.25, "low", 2)]},
        "high": {"search": [(0.5, "high", 2.0), (0.5, "low", 4.0)], "quit": [(1.0, "end")]},
    }
    one = from_dict(listed, terminal=["end"], initial={"high": 1.0})
    two = from_function(["low"], lambda s: listed.get(s, {}), lambda s, a: listed[s][a], initial={"high": 1.0})
    assert one.states == ("low", "high", "end")
    assert one.actions == ("wait", "search", "quit")
    for name in ("states", "actions"):
        assert getattr(one, name) == getattr(two, name)
    for name in ("choice_start", "branch_start", "target", "probability", "choice_reward", "branch_reward", "action"):
        assert getattr(one, name).tolist() == getattr(two, name).tolist()
    assert one.terminal.tolist() == two.terminal.tolist() == [False, False, True]
    assert one.initial.tolist() == two.initial.tolist() == [0, 1, 0]


def test_exploration_finds_the_states():
    """A walk on the integers that stops at 5 and -5."""
    mdp = from_function([0], lambda s: [] if abs(s) == 5 else ["go"], lambda s, a: [(0.5, s - 1), (0.5, s + 1, 1.0)])
    assert mdp.n_states == 11
    assert mdp.terminal.sum() == 2
    value = under(mdp, Policy.uniform(mdp), 1.0).value()
    assert value[0] == pytest.approx(25 / 2)  # 25 steps, half of them upwards
    with pytest.raises(ValueError, match=r"state 2, action 'up' leads to 3, and there are 3 states already"):
        from_function([0], ["up"], lambda s, a: [(1.0, s + 1)], limit=3)


def test_two_states_of_a_gymnasium_table():
    table = {
        0: {0: [(0.5, np.int64(0), 1.0, False), (0.5, np.int64(1), 2.0, True)], 1: [(1.0, 0, 0, np.False_)]},
        1: {0: [(1.0, 1, 0.0, True)]},
    }
    mdp = from_gymnasium(table, initial=np.array([1.0, 0.0]))
    assert (mdp.n_states, mdp.n_choices) == (3, 3)
    assert mdp.terminal.tolist() == [False, False, True]
    assert mdp.target.tolist() == [0, 2, 0, 2]
    assert mdp.initial.tolist() == [1, 0, 0]
    endless = {s: {a: [(*o[:3], False) for o in os] for a, os in choices.items()} for s, choices in table.items()}
    assert from_gymnasium(endless).n_states == 2


@pytest.mark.parametrize(
    ("name", "states", "actions"), [("FrozenLake-v1", 16, 4), ("CliffWalking-v1", 48, 4), ("Taxi-v4", 500, 6)]
)
def test_tables_of_gymnasium(name, states, actions):
    """Against value iteration straight from the table, in which what terminates counts no further."""
    table = gymnasium.make(name).unwrapped.P
    mdp = from_gymnasium(table)
    assert (mdp.n_states, mdp.n_choices) == (states + 1, states * actions)
    wanted = np.zeros(states)
    for _ in range(100):
        wanted = np.array(
            [
                max(sum(p * (r + 0.7 * wanted[t] * (not end)) for p, t, r, end in table[s][a]) for a in range(actions))
                for s in range(states)
            ]
        )
    best = iterated(mdp, 0.7, 100)
    assert best[:-1] == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    assert best[-1] == 0


def test_known_values():
    """Thirteen steps of -1 along the cliff; the slippery lake as everybody has it."""
    cliff = iterated(from_gymnasium(gymnasium.make("CliffWalking-v1").unwrapped.P), 0.99)
    assert cliff[36] == pytest.approx(-(1 - 0.99**13) / 0.01, rel=1e-12)
    lake = iterated(from_gymnasium(gymnasium.make("FrozenLake-v1").unwrapped.P), 0.99)
    assert lake[0] == pytest.approx(0.542026, abs=1e-6)


TWO = np.array([np.eye(2), np.eye(2)])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: from_arrays(TWO * 0.9, np.zeros(2)), r"state 0, action 0 sum to 0\.9, not 1"),
        (lambda: from_arrays(TWO, np.zeros((2, 3))), r"reward is \(2, 3\): neither"),
        (lambda: from_arrays(np.ones((1, 2, 3)), np.zeros(2)), "transition of action 0 is 2 by 3"),
        (lambda: from_arrays([np.eye(2), np.eye(3)], np.zeros(2)), "transition of action 1 is 3 by 3, not 2 by 2"),
        (lambda: from_arrays([], np.zeros(2)), "transition holds no action"),
        (lambda: from_arrays(TWO, np.array([0, np.nan])), r"choice_reward of state 1, action 0 is nan"),
        (lambda: from_dict({"a": {"go": [(1.0, "b")]}}), "state 'a', action 'go' leads to 'b', which is no state"),
        (lambda: from_dict({"a": {"go": [(-1.0, "a")]}}), r"probability of state 'a', action 'go' is -1\.0"),
        (lambda: from_dict({"a": {"go": [(1.0, "a", np.inf)]}}), "reward of state 'a', action 'go' is inf"),
        (lambda: from_dict({"a": {"go": [(1.0,)]}}), r"state 'a', action 'go': \(1\.0,\) is neither"),
        (lambda: from_dict({"a": {"go": [(0.5, "a")]}}), r"state 0 \(a\), action 0 \(go\) sum to 0\.5, not 1"),
        (lambda: from_dict({"a": {}}), r"state 0 \(a\) has no action and is not declared terminal"),
        (lambda: from_dict({"a": {"go": []}}), r"state 0 \(a\), action 0 \(go\) has no outcome"),
        (lambda: from_dict({"a": {"go": [(1.0, "a")]}}, initial={"b": 1.0}), "initial holds 'b', which is no state"),
        (lambda: from_gymnasium({0: {0: [(1.0, 1, 0, False)]}}), "state 0, action 0 leads to 1: states are 0 to 0"),
        (lambda: from_gymnasium({0: {0: [(1.0, 0, 0)]}}), r"state 0, action 0: \(1\.0, 0, 0\) is not"),
        (lambda: from_gymnasium({1: {0: [(1.0, 1, 0, False)]}}), "has 1 states, and none is 0"),
    ],
)
def test_refused_with_state_and_action(build, message):
    with pytest.raises(ValueError, match=message):
        build()
