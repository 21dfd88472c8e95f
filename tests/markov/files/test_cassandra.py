"""Cassandra's format: every statement against dense arrays that are assigned in the plain way; errors name the line."""

from pathlib import Path

import numpy as np
import pytest

from suasion.markov import POMDP, Question
from suasion.markov._files import FormatError, read_model

TIGER = (Path(__file__).parent / "samples" / "tiger.pomdp").read_text()


def write(tmp_path, text, name="m.POMDP"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_tiger(tmp_path):
    model, question = read_model(write(tmp_path, TIGER))
    assert isinstance(model, POMDP)
    assert question == Question(discount=0.95, maximise=False)
    assert model.mdp.choice_reward.tolist() == [1, 100, -10, 1, -10, 100]
    assert model.mdp.branch_reward is None
    assert model.mdp.target.tolist() == [0, 0, 1, 0, 1, 1, 0, 1, 0, 1]
    assert model.mdp.initial.tolist() == [0.25, 0.75]
    assert (model.mdp.states, model.mdp.actions) == (
        ("tiger-left", "tiger-right"),
        ("listen", "open-left", "open-right"),
    )
    assert model.observation.tolist() == [[[0.85, 0.15], [0.15, 0.85]], [[0.5, 0.5]] * 2, [[1, 0], [1, 0]]]
    assert model.observations == ()


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("start: tiger-right", [0, 1]),
        ("start: 0", [1, 0]),
        ("start: uniform", [0.5, 0.5]),
        ("start include: tiger-right", [0, 1]),
        ("start include : 0 1", [0.5, 0.5]),
        ("start exclude: tiger-right", [1, 0]),
        ("", None),
    ],
)
def test_start(tmp_path, start, wanted):
    model, _ = read_model(write(tmp_path, TIGER.replace("start: 0.25 0.75", start)))
    assert (model.mdp.initial.tolist() if wanted else model.mdp.initial) == wanted


class Plain:
    """Statements written as text and, at the same time, assigned to dense arrays."""

    def __init__(self, rng, states, actions, symbols):
        self.rng, self.sizes = rng, (actions, states, states, symbols)
        self.transition = np.zeros((actions, states, states))
        self.observation = np.zeros((actions, states, symbols))
        self.reward = np.zeros((actions, states, states, symbols or 1))
        self.lines = ["discount: 0.5", f"states: {states}", f"actions: {actions}"]
        self.lines += [f"observations: {symbols}"] if symbols else []

    def index(self, axis):
        """A word and what it selects."""
        if self.rng.random() < 0.4:
            return "*", slice(None)
        index = int(self.rng.integers(self.sizes[axis]))
        return str(index), index

    def row(self, count):
        row = self.rng.integers(0, 3, count) + np.eye(count, dtype=int)[self.rng.integers(count)]
        return (row / row.sum()).tolist()

    def transitions(self):
        (a, at), (s, of), (to, into) = self.index(0), self.index(1), self.index(2)
        states = self.sizes[1]
        match self.rng.integers(6):
            case 0:
                self.lines.append(f"T: {a} identity")
                self.transition[at] = np.eye(states)
            case 1:
                self.lines.append(f"T: {a}\nuniform")
                self.transition[at] = 1 / states
            case 2:
                rows = [self.row(states) for _ in range(states)]
                self.lines.append(f"T: {a} \n" + "\n".join(" ".join(map(repr, row)) for row in rows))
                self.transition[at] = rows
            case 3:
                row = self.row(states)
                self.lines.append(f"T:{a}:{s}\n{' '.join(map(repr, row))}")
                self.transition[at, of] = row
            case _:
                # The whole row, one entry after the other: zeros, then a one.
                self.lines += [f"T: {a} : {s} : * 0.0", f"T: {a} : {s} : 1 1.0", f"T: {a} : {s} : {to} 0.0"]
                self.lines.append(f"T: {a} : {s} : 0 1")
                self.transition[at, of, :] = 0
                self.transition[at, of, 1] = 1
                self.transition[at, of, into] = 0
                self.transition[at, of, 0] = 1
                self.lines.append(f"T: {a} : {s} : 1 0")
                self.transition[at, of, 1] = 0

    def observations(self):
        (a, at), (s, of), (o, seen) = self.index(0), self.index(1), self.index(3)
        symbols = self.sizes[3]
        match self.rng.integers(4):
            case 0:
                self.lines.append(f"O: {a}\nuniform")
                self.observation[at] = 1 / symbols
            case 1:
                rows = [self.row(symbols) for _ in range(self.sizes[1])]
                self.lines.append(f"O: {a} \n" + "\n".join(" ".join(map(repr, row)) for row in rows))
                self.observation[at] = rows
            case 2:
                row = self.row(symbols)
                self.lines.append(f"O:{a}:{s} {' '.join(map(repr, row))}")
                self.observation[at, of] = row
            case _:
                self.lines += [f"O: {a} : {s} : * 0", f"O: {a} : {s} : {o if o != '*' else 0} 1"]
                self.observation[at, of] = 0
                self.observation[at, of, seen if o != "*" else 0] = 1

    def rewards(self):
        (a, at), (s, of), (to, into), (o, seen) = (self.index(axis) for axis in (0, 1, 2, 3 if self.sizes[3] else 1))
        states, symbols = self.sizes[1], self.sizes[3]
        values = np.round(self.rng.normal(size=(states, symbols or 1)), 3)
        match self.rng.integers(4):
            case 0:
                self.lines.append(f"R: {a} : {s} : {to} : {o} {values[0, 0]}" if symbols else "")
                if symbols:
                    self.reward[at, of, into, seen] = values[0, 0]
            case 1 if symbols:
                self.lines.append(f"R: {a} : {s} : {to} {' '.join(map(str, values[0]))}")
                self.reward[at, of, into] = values[0]
            case 2 if symbols:
                self.lines.append(f"R: {a} : {s}\n" + "\n".join(" ".join(map(str, row)) for row in values))
                self.reward[at, of] = values
            case _:
                end = " : *" if symbols else ""
                self.lines.append(f"R: {a} : {s} : {to}{end} {values[0, 0]}")
                self.reward[at, of, into] = values[0, 0]


@pytest.mark.parametrize("symbols", [0, 3])
def test_random_statements(tmp_path, symbols):
    rng = np.random.default_rng(11)
    for _ in range(150):
        states, actions = int(rng.integers(2, 5)), int(rng.integers(1, 4))
        plain = Plain(rng, states, actions, symbols)
        plain.lines.append("T: * uniform")
        plain.transition[:] = 1 / states
        if symbols:
            plain.lines.append("O: * uniform")
            plain.observation[:] = 1 / symbols
        for _ in range(rng.integers(0, 6)):
            kind = [plain.transitions, plain.rewards, *([plain.observations] if symbols else [])]
            kind[rng.integers(len(kind))]()
        model, _ = read_model(write(tmp_path, "\n".join(plain.lines) + "\n"))
        mdp = model.mdp if symbols else model
        if symbols:
            assert (model.observation == plain.observation).all()
        state = np.repeat(np.arange(states * actions) // actions, np.diff(mdp.branch_start))
        choice = np.repeat(np.arange(states * actions), np.diff(mdp.branch_start))
        dense = np.zeros_like(plain.transition)
        dense[choice % actions, state, mdp.target] = mdp.probability
        assert (dense == plain.transition).all()
        mean = (plain.reward * plain.observation[:, None]).sum(-1) if symbols else plain.reward[..., 0]
        reward = mdp.choice_reward[choice] + (0 if mdp.branch_reward is None else mdp.branch_reward)
        np.testing.assert_allclose(reward, mean[choice % actions, state, mdp.target], rtol=1e-14, atol=1e-14)


def test_rows_and_matrices_of_rewards_without_observations(tmp_path):
    text = "states: 2\nactions: 2\nT: * uniform\nR: 0\n1 2\n3 4\nR: 1 : 0\n5 6\nR: 1 : 1 : * : * 7\n"
    model, question = read_model(write(tmp_path, text, "m.mdp"))
    assert question == Question()
    assert (model.choice_reward.repeat(2) + model.branch_reward).tolist() == [1, 2, 5, 6, 3, 4, 7, 7]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("discount: 0.95", "discount: 1.5", r"line 2: discount is 1.5, outside"),
        ("discount: 0.95", "discount: nan", "line 2: 'nan' is not a finite number"),
        ("discount: 0.95", "discount: 0.9\ndiscount: 0.9", "line 3: discount twice"),
        ("values: cost", "values: gain", "line 3: values are 'gain', neither reward nor cost"),
        ("states: tiger-left tiger-right", "states: a a", "line 4: there are no states, or one name comes twice"),
        ("states: tiger-left tiger-right", "states:", "line 4: there are no states"),
        ("states: tiger-left tiger-right", "states: 1000000000000", "line 7: 1000000000000 states x"),
        ("states: tiger-left tiger-right", "states: -1", "line 4: '-1' among the states: a name starts with a letter"),
        ("observations: 2", "observations: 1000000000000", "line 9: 6000000000000 probabilities of observations"),
        ("start: 0.25 0.75", "start: 0.25 0.7", r"line 7: start sums to 0.95"),
        ("start: 0.25 0.75", "start: 0.25 0.5 0.25", "line 7: start sums to 0.75"),
        ("start: 0.25 0.75", "start: 1.25 -0.25", r"line 7: a probability of start\[1\] is -0.25"),
        ("start: 0.25 0.75", "start from: 1", "line 7: start 'from' is neither include nor exclude"),
        ("start: 0.25 0.75", "start exclude: 0 1", "line 7: no state is left"),
        ("start: 0.25 0.75", "start: tiger-middle", "line 7: 'tiger-middle' is none of the 2 states"),
        ("start: 0.25 0.75", "start:", "line 7: start of nothing"),
        ("0.85 0.15\n", "0.85 1e400\n", "line 15: '1e400' is not a finite number"),
        ("0.85 0.15\n", "1.85 -0.85\n", r"line 15: a probability of -0.85"),
        ("0.85 0.15\n", "0.85\n", "line 17: 'O' is not a finite number"),
        ("0.85 0.15\n", "0.85 0.05\n", r"observation\[0, 0\] sums to 0.9"),
        ("T:listen\nidentity\n", "", "no probabilities are given for state 0, action 0"),
        ("T:listen\n", "T:listen : 0 : 0 : 0 1\n", "line 9: ':' is not a finite number"),
        ("T:listen\n", "T:hear\n", "line 9: 'hear' is none of the 3 actions"),
        ("T:listen\nidentity", "T:listen : * : 0\n0.5", "probabilities of state 0 .*sum to 0.5"),
        ("R:listen : * : * : * 1\n", "R:listen : * : * : 2 1\n", "line 20: '2' is none of the 2 observations"),
        ("R:listen : * : * : * 1\n", "R:listen : * : * : * : * 1\n", "line 20: a reward has at most"),
        ("R:listen : * : * : * 1\n", "R:listen 1\n", "line 20: a reward needs at least"),
        ("R:listen : * : * : * 1\n", "R:listen : * : * 1 2 3\n", "line 20: '3' belongs to no statement"),
        ("# the tiger", "hello\n# the tiger", "line 1: 'hello' belongs to no statement"),
        ("actions: listen open-left open-right\n", "", "before this, `actions:` is missing"),
    ],
)
def test_errors_name_the_line(tmp_path, old, new, message):
    assert old in TIGER
    with pytest.raises(FormatError, match=message):
        read_model(write(tmp_path, TIGER.replace(old, new, 1)))


def test_few_words_that_stand_for_too_much(tmp_path):
    head = "states: 4000\nactions: 4\n"
    with pytest.raises(FormatError, match=r"line 4: more than .* transitions by wildcards"):
        read_model(write(tmp_path, head + "T: *\nuniform\n"))
    with pytest.raises(FormatError, match="more than 67108864 assignments of transitions"):
        read_model(write(tmp_path, head + "T: * : * : * 0\n" * 5_000))
    with pytest.raises(FormatError, match="more than 67108864 assignments of rewards"):
        read_model(write(tmp_path, head + "T: * identity\n" + "R: * : * : * 1\n" * 5_000))
    with pytest.raises(FormatError, match="more than 67108864 assignments of observations"):
        read_model(write(tmp_path, head + "observations: 9\nT: * identity\n" + "O: * : * : * 0\n" * 500))
