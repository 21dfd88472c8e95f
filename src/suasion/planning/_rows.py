"""A model as the kernels read it: rewards to be maximised, rows that sum to 1, and what rounding can do to a backup."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from numpy import ndarray

from suasion.markov import MDP

UNIT = 2.0**-53  # half the distance from 1 to the next number
SMALL = 20_000  # branches up to which NumPy is as quick as compiled code is to load
LARGEST = 1e280  # reward from which on sums of them may leave the range of floats
LONG = 16  # branches of a row from which on equal lengths gain nothing
PADDING = 1.5  # rows are made equally long if that costs at most half as much again


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    r"""Marginals of a model, in the order in which they are swept, with costs negated.

    `A` and `K` are the numbers of choices of a state and of branches of a choice where both are constant, else 0.
    Rows made equal by padding hold branches of probability 0 and repeat the first choice; a terminal state then has
    choices without any probability. `origin` leads back to the model's choices.

    Attributes:
        choice_start: int64[S + 1].
        start: int64[C + 1].
        target: int32[B].
        probability: float64[B].
        reward: float64[C], to be maximised.
        A: choices of each state, or 0 where these or the branches vary.
        K: branches of each choice, or 0 likewise.
        terminal: whether there are states without choices.
        origin: the model's choice of each choice, int64[C]; None where it is the same.
        fan_out: greatest number of branches of a choice in the model's joint dynamics.
        row_error: bound of |sum - 1| over the rows.
        reward_error: bound of the error of a reward, in reward units.
    """

    choice_start: Int64[ndarray, "_"]
    start: Int64[ndarray, "_"]
    target: Int[ndarray, "_"]
    probability: Float64[ndarray, "_"]
    reward: Float64[ndarray, "_"]
    A: int
    K: int
    terminal: bool
    origin: Int64[ndarray, "_"] | None
    fan_out: int
    row_error: float
    reward_error: float

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.choice_start) - 1

    @property
    def ends(self) -> Bool[ndarray, "_"]:
        """bool[S]: the states in which the process ends."""
        if self.A and self.origin is not None:  # padded: there, they have choices that are none of the model's
            return np.asarray(self.origin[:: self.A] == -1)
        return np.diff(self.choice_start) == 0

    @property
    def packed(self) -> tuple[ndarray, ...]:
        """What kernels read: targets, probabilities (S x A x K) and rewards (S x A) where rows are equal, else all.

        Targets are unsigned there, for which no negative index need be thought of.
        """
        if not self.A:
            return self.choice_start, self.start, self.target, self.probability, self.reward
        shape = (self.n_states, self.A, self.K)
        target = self.target.view(np.uint32).reshape(shape)
        return target, self.probability.reshape(shape), self.reward.reshape(shape[:2])

    def room(self) -> tuple[ndarray, ...]:
        """Room for the rows of a policy, one a state and as long as the longest of the state, packed likewise."""
        states = self.n_states
        if self.A:
            shape = (states, self.K)
            return np.zeros(shape, np.uint32), np.zeros(shape), np.zeros(states)
        longest = np.zeros(states, np.int64)
        some = np.flatnonzero(np.diff(self.choice_start))
        if len(some):
            longest[some] = np.maximum.reduceat(np.diff(self.start), self.choice_start[some])
        start = _cumulated(longest)
        return start, np.zeros(start[-1], np.int32), np.zeros(start[-1]), np.zeros(states)

    def backup_error(self, discount: float, value: Float64[ndarray, "_"]) -> float:
        r"""Bound of $|\mathrm{fl}(T V) - T V|$ in every state, T being the operator of the model meant.

        A row of K branches costs K products and additions, one product by the discount and one sum with the reward:
        $(K + 4) u (R + \gamma M)$ with $R = \max |r|$ and $M = \max |V|$; rows that miss 1 by $\eta$ add
        $\gamma \eta M$. Any order of summation is covered (Higham, Accuracy and Stability, 2002, section 4.2).
        """
        M = max(float(np.max(value, initial=0.0)), -float(np.min(value, initial=0.0)))
        rounding = (self.fan_out + 6) * UNIT * (self._largest + discount * M) * 1.01
        return rounding + self.reward_error + discount * self.row_error * M

    @cached_property
    def _largest(self) -> float:
        """max |r|."""
        return max(float(np.max(self.reward, initial=0.0)), -float(np.min(self.reward, initial=0.0)))

    def original(self, choice: Int64[ndarray, "_"]) -> Int64[ndarray, "_"]:
        """The model's choices of these; -1 stays."""
        if self.origin is None:
            return choice.astype(np.int64)
        result = np.full(len(choice), -1)
        made = choice >= 0
        result[made] = self.origin[choice[made]]
        return result


def rows(mdp: MDP, *, maximise: bool = True, pad: bool = True) -> Rows:
    """The rows of a model; its own arrays where they can be used as they are.

    Args:
        mdp: the model.
        maximise: whether rewards are good; else they are negated.
        pad: whether rows may be made equally long by copying, for the compiled kernels.

    Raises:
        ValueError: a reward is too large.
    """
    start, target, probability, reward = mdp.marginals
    lengths = np.diff(start)
    probability, row_error = _normalised(start, lengths, probability)
    joint = int(np.max(np.diff(mdp.branch_start), initial=1))
    reward_error = 0.0
    if mdp.branch_reward is not None and mdp.n_choices:
        # of rows divided by their sums
        sums = np.add.reduceat(mdp.probability, mdp.branch_start[:-1])
        paid = np.add.reduceat(mdp.probability * mdp.branch_reward, mdp.branch_start[:-1])
        reward = mdp.choice_reward + paid / sums
        most = float(np.max(np.abs(mdp.branch_reward), initial=0.0))
        reward_error = UNIT * ((2 * joint + 6) * most + float(np.max(np.abs(reward), initial=0.0)))
    if (largest := float(np.max(np.abs(reward), initial=0.0))) > LARGEST:
        raise ValueError(f"a reward is {largest:.3g}: sums of rewards beyond {LARGEST:g} are not computed")
    A, K = _constant(np.diff(mdp.choice_start)), _constant(lengths)
    found = Rows(
        choice_start=mdp.choice_start,
        start=start,
        target=target,
        probability=probability,
        reward=reward if maximise else -reward,
        A=A if K else 0,
        K=K if A else 0,
        terminal=bool(mdp.terminal.any()),
        origin=None,
        fan_out=joint,
        row_error=row_error,
        reward_error=reward_error,
    )
    return padded(found) if pad else found


def _constant(lengths: ndarray) -> int:
    return int(lengths[0]) if len(lengths) and (lengths == lengths[0]).all() else 0


def _normalised(start: ndarray, lengths: ndarray, probability: ndarray) -> tuple[ndarray, float]:
    """Rows divided by their sums where these miss 1 by more than rounding, and a bound of what is left."""
    if not len(lengths):
        return probability, 0.0
    longest = int(lengths.max())
    sums = np.add.reduceat(probability, start[:-1])
    off = float(np.max(np.abs(sums - 1)))
    if off > (longest + 4) * UNIT:
        probability = probability / np.repeat(sums, lengths)
        off = float(np.max(np.abs(np.add.reduceat(probability, start[:-1]) - 1)))
    return probability, off + (longest + 4) * UNIT


def size(found: Rows) -> tuple[int, int]:
    """A and K of rows made equal in both, if that costs little; 0 and 0 otherwise."""
    choices, lengths = np.diff(found.choice_start), np.diff(found.start)
    A, K = int(choices.max(initial=0)), int(lengths.max(initial=0))
    return (A, K) if 0 < found.n_states * A * K <= PADDING * len(found.target) and K <= LONG else (0, 0)


def padded(found: Rows) -> Rows:
    """Rows of equal length, choices of equal number, where that costs little; else as they are."""
    A, K = size(found)
    if found.A or not A:
        return found
    if not _constant(np.diff(found.start)):
        found = _pad_branches(found, K)
    if not _constant(np.diff(found.choice_start)):
        found = _pad_choices(found, A, K)
    return dataclasses.replace(found, A=A, K=K)


def _pad_branches(found: Rows, K: int) -> Rows:
    choices = len(found.start) - 1
    start = np.arange(0, choices * K + 1, K)
    if len(found.target) > SMALL:
        from suasion.planning._kernels import pad

        target, probability = np.empty(choices * K, np.int32), np.empty(choices * K)
        pad(K, found.start, found.target, found.probability, target, probability)
    else:
        lengths = np.diff(found.start)
        place = np.arange(len(found.target)) + np.repeat(start[:-1] - found.start[:-1], lengths)
        target, probability = np.zeros(choices * K, np.int32), np.zeros(choices * K)
        target[place], probability[place] = found.target, found.probability
    return dataclasses.replace(found, start=start, target=target, probability=probability)


def _pad_choices(found: Rows, A: int, K: int) -> Rows:
    """The first choice is repeated: it never wins against itself."""
    states, choices = found.n_states, np.diff(found.choice_start)
    ordinal = np.arange(A)
    source = found.choice_start[:-1, None] + np.where(ordinal < choices[:, None], ordinal, 0)
    none = choices == 0
    source[none] = 0
    flat = source.ravel()
    target = found.target.reshape(-1, K)[flat]
    probability = found.probability.reshape(-1, K)[flat]
    reward = found.reward[flat]
    gone = np.repeat(none, A)
    probability[gone], reward[gone], flat[gone] = 0.0, 0.0, -1
    return dataclasses.replace(
        found,
        choice_start=np.arange(0, states * A + 1, A),
        start=np.arange(0, states * A * K + 1, K),
        target=target.ravel(),
        probability=probability.ravel(),
        reward=reward,
        origin=flat if found.origin is None else np.where(flat >= 0, found.origin[flat], -1),
    )


def chosen(found: Rows, choices: Bool[ndarray, "_"]) -> Rows:
    """Rows with these choices only."""
    state = np.repeat(np.arange(found.n_states), np.diff(found.choice_start))
    kept = np.flatnonzero(choices)
    lengths = np.diff(found.start)[kept]
    branch = gathered(found.start, kept)
    counts = np.bincount(state[kept], minlength=found.n_states)
    return dataclasses.replace(
        found,
        choice_start=_cumulated(counts),
        start=_cumulated(lengths),
        target=found.target[branch],
        probability=found.probability[branch],
        reward=found.reward[kept],
        A=_constant(counts) if found.K else 0,
        K=found.K if _constant(counts) else 0,
        origin=kept if found.origin is None else found.origin[kept],
    )


def restricted(found: Rows, states: Int64[ndarray, "_"], choices: Bool[ndarray, "_"]) -> Rows:
    """The model of these states alone, with these of their choices, none of which may leave them."""
    place = np.full(found.n_states, -1, np.int32)
    place[states] = np.arange(len(states), dtype=np.int32)
    few = chosen(found, choices)
    counts = np.diff(few.choice_start)[states]
    return dataclasses.replace(
        few,
        choice_start=_cumulated(counts),
        target=place[few.target],
        A=_constant(counts) if found.K else 0,
        K=found.K if _constant(counts) else 0,
        terminal=False,
    )


def _cumulated(lengths: ndarray) -> ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def gathered(start: ndarray, kept: ndarray) -> ndarray:
    """Indices of the entries of these rows, one row after the other."""
    lengths = np.diff(start)[kept]
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum())) + np.repeat(start[kept] - (ends - lengths), lengths)
