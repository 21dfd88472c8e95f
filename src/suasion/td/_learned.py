"""What a learner leaves: its values at checkpoints beside the exact ones, its episodes, and bands over runs."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.markov import MDP, Policy
from suasion.td._algorithms import Control, EpsilonGreedy, Prediction
from suasion.td._policies import epsilon_greedy
from suasion.td._simulator import first_distribution

Unit = Literal["steps", "episodes"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Band:
    """A middle over runs, and an interval about it.

    Attributes:
        middle: float64[k].
        lower: float64[k].
        upper: float64[k].
    """

    middle: Float64[ndarray, "k"]
    lower: Float64[ndarray, "k"]
    upper: Float64[ndarray, "k"]


def mean_band(samples: Float64[ndarray, "runs k"], level: float = 0.95) -> Band:
    r"""The mean over runs, $\bar x \pm t \, s / \sqrt{n}$: Student's interval for the expected value.

    Args:
        samples: one row for each run; NaN where a run has none, which is left out.
        level: of the interval, in (0, 1).

    Raises:
        ValueError: a level outside (0, 1), or a column with fewer than two numbers.
    """
    from scipy import special  # a third of a second to load

    _check_level(level)
    there = ~np.isnan(samples)
    count = there.sum(axis=0)
    if (count < 2).any():
        raise ValueError(f"column {int(np.argmax(count < 2))} has {int(count.min())} numbers: a band needs two runs")
    mean = np.where(there, samples, 0.0).sum(axis=0) / count
    square = np.where(there, samples - mean, 0.0) ** 2
    half = special.stdtrit(count - 1, (1 + level) / 2) * np.sqrt(square.sum(axis=0) / (count - 1) / count)
    return Band(middle=mean, lower=mean - half, upper=mean + half)


def quantile_band(samples: Float64[ndarray, "runs k"], level: float = 0.9) -> Band:
    """The median over runs, and between which numbers the middle `level` of all runs lie.

    Args:
        samples: one row for each run; NaN where a run has none, which is left out.
        level: share of runs inside, in (0, 1).

    Raises:
        ValueError: a level outside (0, 1), or a column without numbers.
    """
    _check_level(level)
    if (empty := np.isnan(samples).all(axis=0)).any():
        raise ValueError(f"column {int(np.argmax(empty))} has no numbers")
    cuts = (0.5, (1 - level) / 2, (1 + level) / 2)
    middle, lower, upper = np.nanquantile(samples, cuts, axis=0, method="inverted_cdf")  # bears infinite numbers
    return Band(middle=middle, lower=lower, upper=upper)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Learned:
    r"""What `learn` found, in each of n runs at each of k checkpoints.

    Attributes:
        mdp: the model that was played; None after steps in an environment.
        algorithm: the rule.
        discount: $\gamma$.
        unit: what checkpoints count: steps or episodes of a run.
        checkpoints: ascending, int64[k].
        q: the learner's values, float64[n, k, C]; of an environment C = S A, choice s A + a.
        v: $v_\pi$ of the policy that is greedy for `q`, exactly, float64[n, k, S]; empty where it was not asked for.
        returns: $G_0$ of each episode, float64[n, e]; NaN beyond a run's last.
        lengths: steps of each episode, int64[n, e]; 0 beyond a run's last.
        steps: of each run, int64[n].
    """

    mdp: MDP | None
    algorithm: Control
    discount: float
    unit: Unit
    checkpoints: Int64[ndarray, "k"]
    q: Float64[ndarray, "n k C"]
    v: Float64[ndarray, "n _ _"]
    returns: Float64[ndarray, "n e"]
    lengths: Int64[ndarray, "n e"]
    steps: Int64[ndarray, "n"]

    @property
    def value(self) -> Float64[ndarray, "n k"]:
        r"""$\mathbb{E} \, v_\pi(S_0)$ of the greedy policy, exactly, float64[n, k].

        Raises:
            ValueError: exact values were not asked for.
        """
        if self.mdp is None or not self.v.size:
            raise ValueError("there are no exact values: learn(..., exact=True) has them, of a model")
        initial = first_distribution(self.mdp)
        likely = initial > 0
        return (self.v[:, :, likely] * initial[likely]).sum(axis=2)

    def policy(self, run: int = 0, checkpoint: int = -1, *, epsilon: float = 0.0) -> Policy:
        """The greedy policy of a run, or one that explores; ties as the algorithm has them.

        Raises:
            ValueError: an environment was played, which has no model to be a policy of; `q` says what is best in it.
        """
        if self.mdp is None:
            raise ValueError("an environment was played: a policy is one of a model; take the greatest of q")
        return epsilon_greedy(self.mdp, self.q[run, checkpoint], epsilon, ties=ties_of(self.algorithm))

    def __repr__(self) -> str:
        runs, at = self.q.shape[:2]
        return f"Learned({type(self.algorithm).__name__}, {runs} runs, {int(self.steps.sum())} steps, {at} checkpoints)"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Predicted:
    r"""What `predict` found, in each of n runs at each of k checkpoints.

    Attributes:
        mdp: the model that was played.
        algorithm: the rule.
        discount: $\gamma$.
        unit: what checkpoints count: steps or episodes of a run.
        checkpoints: ascending, int64[k].
        v: estimates of $v_\pi$, float64[n, k, S]; 0 in terminal states.
        exact: $v_\pi$, float64[S].
        returns: $G_0$ of each episode, float64[n, e]; NaN beyond a run's last.
        lengths: steps of each episode, int64[n, e]; 0 beyond a run's last.
        steps: of each run, int64[n].
    """

    mdp: MDP
    algorithm: Prediction
    discount: float
    unit: Unit
    checkpoints: Int64[ndarray, "k"]
    v: Float64[ndarray, "n k S"]
    exact: Float64[ndarray, "S"]
    returns: Float64[ndarray, "n e"]
    lengths: Int64[ndarray, "n e"]
    steps: Int64[ndarray, "n"]

    @property
    def rms(self) -> Float64[ndarray, "n k"]:
        r"""$\sqrt{\text{mean}_s (V(s) - v_\pi(s))^2}$ over states that are not terminal, float64[n, k]."""
        live = ~self.mdp.terminal
        return np.sqrt(((self.v - self.exact)[:, :, live] ** 2).mean(axis=2))

    def __repr__(self) -> str:
        runs, at = self.v.shape[:2]
        name = type(self.algorithm).__name__
        return f"Predicted({name}, {runs} runs, {int(self.steps.sum())} steps, {at} checkpoints)"


def ties_of(algorithm: Control) -> Literal["uniform", "first"]:
    """How an algorithm breaks ties."""
    exploration = algorithm.exploration
    return exploration.ties if isinstance(exploration, EpsilonGreedy) else "uniform"


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}, outside (0, 1)")
