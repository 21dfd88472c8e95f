r"""What a policy is worth, estimated from the log of another: importance sampling, fitted Q, doubly robust.

e episodes, T steps of the longest, C choices. $\rho_t = \prod_{k \le t} \pi(A_k \mid S_k) / b(A_k \mid S_k)$.

All but fitted Q are sums of ratios $\sum_k (\sum_i x_{ik}) / (\sum_i w_{ik})$ over episodes i. Hence one interval for
all of them, by the delta method: episode i contributes $e \sum_k (x_{ik} - m_k w_{ik}) / \sum_j w_{jk}$.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from suasion.td._log import Transitions, check_discount
from suasion.td._log_coverage import Coverage, covered, log_ratios
from suasion.td._log_fit import fitted, influence
from suasion.td._log_frame import Choices, Frame, Target, frame, frequencies, probabilities, under_rows

Weighting = Literal["ordinary", "weighted", "per_decision", "weighted_per_decision"]
Interval = Literal["student", "bootstrap"]
_MOST = 1 << 27  # entries of episodes times steps


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    r"""An estimate of $\mathbb{E} \, v_\pi(S_0)$, the first states being those of the log.

    Attributes:
        value: in reward units.
        lower: end of the interval.
        upper: end of the interval.
        level: of the interval.
        interval: how it was found: Student's t of the episodes' contributions (delta method), or percentiles of the
            bootstrap over episodes.
        method: the estimator.
        episodes: how many.
        ess: effective sample size, in episodes; below about 30 the interval is not to be trusted.
        coverage: what the log knows of the target.
        q: the values that were fitted or given, float64[C], or None.
    """

    value: float
    lower: float
    upper: float
    level: float
    interval: Interval
    method: str
    episodes: int
    ess: float
    coverage: Coverage
    q: Float64[ndarray, "C"] | None = None

    def __repr__(self) -> str:
        return (
            f"Estimate({self.method}: {self.value:.6g}, {self.level:.0%} {self.interval} {self.lower:.6g} to "
            f"{self.upper:.6g}, {self.episodes} episodes, effective {self.ess:.1f})"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is asked of an estimator, checked."""

    discount: float
    horizon: int | None
    accepted: float
    level: float
    interval: Interval
    resamples: int
    seed: int

    def __post_init__(self) -> None:
        check_discount(self.discount)
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level!r}, outside (0, 1)")
        if self.interval not in ("student", "bootstrap"):
            raise ValueError(f"interval is {self.interval!r}, neither 'student' nor 'bootstrap'")
        if self.resamples < 2:
            raise ValueError(f"resamples is {self.resamples}, below 2")


def importance_sampling(
    log: Transitions,
    target: Target,
    choices: Choices,
    *,
    discount: float,
    weighting: Weighting = "weighted_per_decision",
    horizon: int | None = None,
    accepted: float = 0.0,
    level: float = 0.95,
    interval: Interval = "student",
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    r"""The target's value from whole episodes of another policy.

    | weighting | estimate |
    |---|---|
    | ordinary | mean of $\rho_{T-1} G_0$: no bias, most variance |
    | weighted | $\sum \rho_{T-1} G_0 / \sum \rho_{T-1}$: consistent |
    | per decision | mean of $\sum_t \gamma^t \rho_t R_{t+1}$: no bias |
    | weighted per decision | $\sum_t \gamma^t \sum_i \rho_t R_{t+1} / \sum_i \rho_t$: consistent, least variance |

    Args:
        log: the log. Its episodes have terminated, or have at least `horizon` steps.
        target: a policy over the model's choices, or a table $\pi(a \mid s)$, float64[S, A].
        choices: a model, of which only the choices are read; or numbers of states and actions.
        discount: $\gamma$ in [0, 1].
        weighting: as above.
        horizon: estimate the value of the first `horizon` rewards, >= 1; of all, if not given.
        accepted: probability with which an episode of the target may come to what the log never holds; the estimate
            lacks the returns of those episodes.
        level: of the interval, in (0, 1).
        interval: Student's t by the delta method, or percentiles of the bootstrap over episodes.
        resamples: of the bootstrap, >= 2.
        seed: of the bootstrap.

    Raises:
        CoverageError: the log does not cover the target; the states, with their actions.
        ValueError: an episode was cut off before its return is known, no episode is one of the target's, there are
            fewer than two, or a number is outside its range.

    References:
        Precup, Sutton & Singh (2000); Thomas (2015), section 3; Sutton & Barto (2018), sections 5.5 and 5.9.
    """
    if weighting not in ("ordinary", "weighted", "per_decision", "weighted_per_decision"):
        raise ValueError(f"weighting is {weighting!r}")
    asked = _Asked(
        discount=discount,
        horizon=horizon,
        accepted=accepted,
        level=level,
        interval=interval,
        resamples=resamples,
        seed=seed,
    )
    *_, report, steps = _weighed(log, target, choices, asked)
    ratio, worth = steps.ratio, steps.worth
    if weighting == "ordinary":
        x = ratio[:, -1:] * worth.sum(axis=1, keepdims=True)
        weight = np.ones_like(x)
    elif weighting == "weighted":
        x, weight = ratio[:, -1:] * worth.sum(axis=1, keepdims=True), ratio[:, -1:]
    elif weighting == "per_decision":
        x = (ratio * worth).sum(axis=1, keepdims=True)
        weight = np.ones_like(x)
    else:
        x, weight = ratio * worth, ratio
    return _estimate(x, weight, asked, f"importance sampling, {weighting.replace('_', ' ')}", report)


def doubly_robust(
    log: Transitions,
    target: Target,
    choices: Choices,
    *,
    discount: float,
    q: Float64[ndarray, "_"] | None = None,
    folds: int = 2,
    weighted: bool = False,
    horizon: int | None = None,
    accepted: float = 0.0,
    level: float = 0.95,
    interval: Interval = "student",
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    r"""Importance sampling of what a guess q of the target's values leaves unexplained.

    The mean over episodes of $\sum_t \gamma^t [\rho_t (R_{t+1} - q(S_t, A_t)) + \rho_{t-1} v(S_t)]$ with
    $v(s) = \sum_a \pi(a \mid s) q(s, a)$ and $\rho_{-1} = 1$. Whatever q is, if it does not depend on the episodes,
    there is no bias; with $q = q_\pi$ the variance is that of the transitions alone, with q = 0 it is per-decision
    importance sampling. Weighted, $\rho_t$ is divided by its mean over episodes: consistent, less variance.

    Args:
        log: as in `importance_sampling`.
        target: as in `importance_sampling`.
        choices: as in `importance_sampling`.
        discount: $\gamma$ in [0, 1].
        q: the guess, float64[C]; if not given, fitted Q evaluation of the log without the episode's own fold, and 0 for
            what that does not hold.
        folds: into which episodes are dealt, >= 2.
        weighted: whether ratios are divided by their mean.
        horizon: as in `importance_sampling`.
        accepted: as in `importance_sampling`; what the log does not hold is worth what q says.
        level: as in `importance_sampling`.
        interval: as in `importance_sampling`; fits are not repeated in resamples.
        resamples: as in `importance_sampling`.
        seed: as in `importance_sampling`.

    Raises:
        CoverageError: the log does not cover the target; the states, with their actions.
        ValueError: as `importance_sampling`, or `q` has another length or is not finite, or there are fewer episodes
            than folds.

    References:
        Jiang & Li (2016); weighted: Thomas & Brunskill (2016).
    """
    asked = _Asked(
        discount=discount,
        horizon=horizon,
        accepted=accepted,
        level=level,
        interval=interval,
        resamples=resamples,
        seed=seed,
    )
    held, chance, report, steps = _weighed(log, target, choices, asked)
    guess = _guesses(log, held, chance, discount, q, folds)
    own, state = guess.of_choice[steps.rows], guess.of_state[steps.rows]
    scale = np.where(steps.there, float(discount) ** np.arange(steps.ratio.shape[1]), 0.0)
    before = np.concatenate([np.ones((len(steps.ratio), 1)), steps.ratio[:, :-1]], axis=1)
    x = np.concatenate([steps.ratio * (steps.worth - scale * own), before * scale * state], axis=1)
    weight = np.concatenate([steps.ratio, before], axis=1)
    if not weighted:
        x = x.sum(axis=1, keepdims=True)
        weight = np.ones_like(x)
    name = "weighted doubly robust" if weighted else "doubly robust"
    return dataclasses.replace(_estimate(x, weight, asked, name, report), q=q)


def fitted_q_evaluation(
    log: Transitions, target: Target, choices: Choices, *, discount: float, level: float = 0.95
) -> Estimate:
    r"""Solve $q(s, a) = \hat r(s, a) + \gamma \sum_{s'} \hat p(s' | s, a) \sum_{a'} \pi(a' | s') q(s', a')$.

    The fixed point to which fitted Q evaluation of a table converges, by a linear system. It needs neither whole
    episodes nor the probabilities of what was done, and has no product of ratios: far less variance over long episodes.
    It is consistent, with a bias of order 1 / n. The interval is Student's t of the episodes' contributions
    $v(S_0) - \hat v + \sum_t [d(S_t, A_t) / (n(S_t, A_t) / e)] \, \delta_t$: d is the discounted number of visits that
    the target makes in the empirical model, delta the TD error.

    Args:
        log: the log.
        target: as in `importance_sampling`.
        choices: as in `importance_sampling`.
        discount: $\gamma$ in [0, 1].
        level: of the interval, in (0, 1).

    Returns:
        The estimate; its `q` is NaN where it would rest on what the log does not hold, which can only be where the
        target never comes.

    Raises:
        CoverageError: the log does not cover the target; the states, with their actions.
        ValueError: a number is outside its range, there are fewer than two episodes, or the discount is 1 and the
            target goes on for ever in the empirical model; the state.

    References:
        Le, Voloshin & Yue (2019); Duan, Jia & Wang (2020); the contributions: Kallus & Uehara (2020).
    """
    check_discount(discount)
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}, outside (0, 1)")
    held = frame(log, choices)
    chance = probabilities(target, held)
    found = frequencies(log, held)
    report = covered(log, held, chance, found, None)
    report.refuse()
    fit = fitted(found, held, chance, discount, strict=True)
    value = float(found.initial @ fit.v)
    half = _student(influence(log, held, found, fit, chance, discount), level)
    return Estimate(
        value=value,
        lower=value - half,
        upper=value + half,
        level=level,
        interval="student",
        method="fitted Q evaluation",
        episodes=report.episodes,
        ess=report.ess,
        coverage=report,
        q=np.where(fit.sound, fit.q, np.nan),
    )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Steps:
    r"""Episodes side by side, [e, T]: $\rho_t$, kept after the end; $\gamma^t R_{t+1}$, 0 after it; rows of the log."""

    ratio: ndarray
    worth: ndarray
    there: ndarray
    rows: ndarray


def _weighed(
    log: Transitions, target: Target, choices: Choices, asked: _Asked
) -> tuple[Frame, ndarray, Coverage, _Steps]:
    """What the target would do in the log's states, how far the log covers it, and episodes with their ratios."""
    held = frame(log, choices)
    chance = probabilities(target, held)
    report = covered(log, held, chance, frequencies(log, held), asked.horizon)
    report.refuse(asked.accepted)
    return held, chance, report, _steps(log, held, chance, asked)


def _steps(log: Transitions, held: Frame, chance: ndarray, asked: _Asked) -> _Steps:
    """Refuse episodes whose return is not known."""
    lengths, starts = log.lengths, log.starts
    if len(starts) < 2:
        raise ValueError("the log has one episode: an interval needs two")
    cut = ~log.terminated[starts + lengths - 1]
    short = cut if asked.horizon is None else cut & (lengths < asked.horizon)
    if short.any():
        i = int(np.argmax(short))
        least = int(lengths[cut].min())
        raise ValueError(
            f"episode {int(log.episode[starts[i]])} of run {int(log.run[starts[i]])} was cut off after {lengths[i]} "
            f"steps: its return is not known. {int(short.sum())} episodes are; with horizon={least} the first rewards "
            "of all are estimated"
        )
    longest = int(lengths.max()) if asked.horizon is None else min(int(lengths.max()), asked.horizon)
    if longest * len(starts) > _MOST:
        raise ValueError(f"{len(starts)} episodes of {longest} steps are more than {_MOST} entries: give a horizon")
    t = np.arange(longest)
    there = t < lengths[:, None]
    rows = np.where(there, starts[:, None] + t, starts[:, None])
    each = np.where(there, log_ratios(log, held, chance)[rows], 0.0)
    worth = np.where(there, float(asked.discount) ** t * log.reward[rows], 0.0)
    with np.errstate(over="ignore"):  # refused by name below
        ratio = np.exp(np.cumsum(each, axis=1))
    if not np.isfinite(ratio).all():
        i = int(np.argmax(~np.isfinite(ratio).all(axis=1)))
        raise ValueError(f"the ratio of episode {i} of the log is above 1e308")
    return _Steps(ratio=ratio, worth=worth, there=there, rows=rows)


def _estimate(x: ndarray, weight: ndarray, asked: _Asked, method: str, report: Coverage) -> Estimate:
    """A sum of ratios with its interval."""
    total = weight.sum(axis=0)
    if (total == 0).any():
        raise ValueError("no episode of the log is one that the target would play to the end: nothing to weigh")
    mean = x.sum(axis=0) / total
    value = float(mean.sum())
    if asked.interval == "student":
        half = _student(len(x) * ((x - mean * weight) / total).sum(axis=1), asked.level)
        lower, upper = value - half, value + half
    else:
        lower, upper = _bootstrap(x, weight, asked)
    return Estimate(
        value=value,
        lower=lower,
        upper=upper,
        level=asked.level,
        interval=asked.interval,
        method=method,
        episodes=report.episodes,
        ess=report.ess,
        coverage=report,
    )


def _student(each: ndarray, level: float) -> float:
    """Half the interval of a mean, contributions having the mean 0."""
    from scipy import special  # a third of a second to load

    count = len(each)
    if count < 2:
        raise ValueError("the log has one episode: an interval needs two")
    return float(special.stdtrit(count - 1, (1 + level) / 2) * np.sqrt((each**2).sum() / (count - 1) / count))


def _bootstrap(x: ndarray, weight: ndarray, asked: _Asked) -> tuple[float, float]:
    """Percentiles over resamples of the episodes."""
    rng, count = np.random.default_rng(asked.seed), len(x)
    values, block = [], max(1, (1 << 22) // count)
    for done in range(0, asked.resamples, block):
        times = rng.multinomial(count, np.full(count, 1 / count), min(block, asked.resamples - done)).astype(float)
        total = times @ weight
        if (total == 0).any():
            raise ValueError("in a resample no episode is one that the target would play: take interval='student'")
        values.append(((times @ x) / total).sum(axis=1))
    lower, upper = np.quantile(np.concatenate(values), [(1 - asked.level) / 2, (1 + asked.level) / 2])
    return float(lower), float(upper)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Guess:
    """q(S_t, A_t) and v(S_t) of each row, by the guess that did not see its episode."""

    of_choice: ndarray
    of_state: ndarray


def _guesses(log: Transitions, held: Frame, chance: ndarray, discount: float, q: ndarray | None, folds: int) -> _Guess:
    mixed = under_rows(chance, held)
    if q is not None:
        if len(q) != len(chance) or not np.isfinite(q).all():
            raise ValueError(f"q has {len(q)} entries for {len(chance)} choices, or one that is not finite")
        return _Guess(of_choice=q[held.choice], of_state=(mixed @ q)[log.state])
    number = np.repeat(np.arange(len(log.starts)), log.lengths)
    if folds < 2 or folds > len(log.starts):
        raise ValueError(f"folds is {folds}, not from 2 to the {len(log.starts)} episodes")
    of_choice, of_state = np.zeros(len(log)), np.zeros(len(log))
    for k in range(folds):
        own = number % folds == k
        guess = fitted(frequencies(log, held, ~own), held, chance, discount, strict=False).q
        of_choice[own] = guess[held.choice[own]]
        of_state[own] = (mixed @ guess)[log.state[own]]
    return _Guess(of_choice=of_choice, of_state=of_state)
