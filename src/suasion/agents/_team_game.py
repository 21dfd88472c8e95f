r"""Team games that can be enumerated: what every estimator of the policy gradient has for a mean and a variance.

n agents, one round. Each agent j has a signal $x_j$ of its own, independent of the others', and draws an action from a
softmax policy $\pi_j(a \mid x_j)$ with a logit for every signal and action. All are paid the same R(x, a). Agent i's
estimator is $g_i = \nabla \log \pi_i(a_i \mid x_i) \, (R - b_i)$ with one of four baselines, each the expectation of R
given a little more:

| baseline | $b_i$ | sees |
|---|---|---|
| `none` | 0 | nothing |
| `own value` | $E[R \mid x_i]$ | what the agent sees |
| `central value` | $E[R \mid x_1 \dots x_n]$ | what all agents see |
| `counterfactual` | $\sum_{a'} \pi_i(a' \mid x_i) \, R(x, a', a_{-i})$ | that, and what the others do |

Letters of the shapes: n agents, m signals, a actions, e episodes; a *cell* of an agent is (x, a), one of m a.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy.special import logsumexp

BASELINES = ("none", "own value", "central value", "counterfactual")
MOST_CELLS = 1 << 22  # joint cells that are enumerated


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TeamGame:
    """A one-round game of n agents with a shared reward.

    Attributes:
        signal: probability of each private signal, float64[m].
        logits: of every agent's policy, float64[n, m, a].
        reward: R for each joint cell: n axes of m a entries; entry x a + a' is signal x and action a'.

    Raises:
        ValueError: probabilities or shapes that do not fit together, a reward that is not finite; named.
    """

    signal: Float64[ndarray, " m"]
    logits: Float64[ndarray, "n m a"]
    reward: Float64[ndarray, "..."]

    def __post_init__(self) -> None:
        agents, signals, actions = self.logits.shape
        if self.signal.shape != (signals,) or (self.signal < 0).any() or abs(self.signal.sum() - 1) > 1e-12:
            raise ValueError(f"signal is {self.signal}: needs {signals} probabilities that sum to 1")
        if self.reward.shape != (signals * actions,) * agents:
            wanted = f"{agents} axes of {signals} signals x {actions} actions"
            raise ValueError(f"reward has shape {self.reward.shape}, must have {wanted}")
        if not np.isfinite(self.reward).all() or not np.isfinite(self.logits).all():
            raise ValueError("a reward or a logit is not finite")

    @property
    def policy(self) -> Float64[ndarray, "n m a"]:
        """Probabilities of the actions."""
        return np.exp(self.logits - logsumexp(self.logits, axis=-1, keepdims=True))

    @property
    def cells(self) -> Float64[ndarray, "n c"]:
        """Probability of each agent's cells."""
        return (self.signal[None, :, None] * self.policy).reshape(len(self.logits), -1)


class ExactNoise(NamedTuple):
    """Of one agent's estimator, without sampling.

    Attributes:
        mean: the expected gradient with respect to its logits, float64[m, a].
        trace: of the covariance.
    """

    mean: Float64[ndarray, "m a"]
    trace: float

    @property
    def ratio(self) -> float:
        """Signal-to-noise ratio of one episode; infinite where there is no noise."""
        signal = float(np.square(self.mean).sum())
        return signal / self.trace if self.trace > 0 else float("inf")


def sum_of_parts(parts: Float64[ndarray, "m a"], logits: Float64[ndarray, "n m a"]) -> TeamGame:
    r"""The team is paid the sum of what each contributes, $R = \sum_j u(x_j, a_j)$; all signals are equally likely."""
    return _of_total(parts, logits, lambda total: total)


def threshold(logits: Float64[ndarray, "n m a"], least: int) -> TeamGame:
    """The team is paid n if at least `least` agents name their own signal (action = signal), else nothing."""
    agents, signals, actions = logits.shape
    return _of_total(np.eye(signals, actions), logits, lambda right: agents * (right >= least).astype(float))


def unanimity(logits: Float64[ndarray, "n m a"]) -> TeamGame:
    """The team is paid n if all agents name their own signal, else nothing.

    With two equally likely actions and a reward of 1 it is the game of Lowe et al. (2017), proposition 1.
    """
    return threshold(logits, len(logits))


def baseline(game: TeamGame, kind: str, agent: int) -> Float64[ndarray, "m 1 z"]:
    """b_i for every signal of the agent and every joint cell of the others, in the agents' order; or z = 1 for all.

    Raises:
        ValueError: an unknown kind.
    """
    signals, actions = game.logits.shape[1:]
    if kind == "none":
        return np.zeros((signals, 1, 1))
    reward, policy, others = _from(game, agent)
    if kind == "counterfactual":
        return np.einsum("xa,xaz->xz", policy, reward)[:, None, :]
    if kind == "own value":
        return np.einsum("xa,xaz,z->x", policy, reward, others)[:, None, None]
    if kind != "central value":
        raise ValueError(f"baseline is {kind!r}, must be one of {', '.join(BASELINES)}")
    value = np.einsum("xa,xaz->xz", policy, reward)
    agents = [j for j in range(len(game.logits)) if j != agent]
    value = value.reshape(signals, *(signals * actions,) * len(agents))
    for place, j in enumerate(agents):  # one agent's action after the other is averaged over, and spread again
        shape = (*value.shape[: place + 1], signals, actions, *value.shape[place + 2 :])
        weights = game.policy[j].reshape(signals, actions, *(1,) * (len(agents) - place - 1))
        averaged = (value.reshape(shape) * weights).sum(axis=place + 2, keepdims=True)
        value = np.broadcast_to(averaged, shape).reshape(value.shape)
    return value.reshape(signals, 1, -1)


def exact_noise(game: TeamGame, kind: str, agent: int) -> ExactNoise:
    """Mean and variance of an agent's estimator, by enumeration of all joint cells.

    Raises:
        ValueError: an unknown baseline, or more cells than `MOST_CELLS`.
    """
    if game.reward.size > MOST_CELLS:
        raise ValueError(f"{game.reward.size:,} joint cells; at most {MOST_CELLS:,} are enumerated")
    reward, policy, others = _from(game, agent)
    advantage = reward - baseline(game, kind, agent)
    first = np.einsum("xaz,z->xa", advantage, others)
    second = np.einsum("xaz,xaz,z->xa", advantage, advantage, others)
    joint = game.signal[:, None] * policy
    # d log pi(a | x) / d logit(x, c) = [a = c] - pi(c | x), 0 for other signals.
    mean = joint * first - policy * (joint * first).sum(axis=1, keepdims=True)
    squared_score = 1 - 2 * policy + np.square(policy).sum(axis=1, keepdims=True)
    power = (joint * squared_score * second).sum()
    return ExactNoise(mean=mean, trace=float(power - np.square(mean).sum()))


def sample_gradients(game: TeamGame, kind: str, episodes: int, rng: np.random.Generator) -> Float64[ndarray, "e n d"]:
    """Gradients of independent episodes, each agent's with respect to its m a logits.

    Raises:
        ValueError: an unknown baseline.
    """
    agents, signals, actions = game.logits.shape
    size = signals * actions
    drawn = np.stack([rng.choice(size, episodes, p=cells / cells.sum()) for cells in game.cells], axis=1)
    paid = game.reward[tuple(drawn.T)]
    gradients = np.zeros((episodes, agents, size))
    for i in range(agents):
        held = baseline(game, kind, i)
        rest = np.delete(drawn, i, axis=1)
        place = np.ravel_multi_index(tuple(rest.T), (size,) * (agents - 1)) if held.shape[2] > 1 else 0
        x, a = np.divmod(drawn[:, i], actions)
        score = np.zeros((episodes, signals, actions))
        score[np.arange(episodes), x] = -game.policy[i][x]
        score[np.arange(episodes), x, a] += 1
        gradients[:, i] = score.reshape(episodes, -1) * (paid - held[x, 0, place])[:, None]
    return gradients


def _from(game: TeamGame, agent: int) -> tuple[ndarray, ndarray, ndarray]:
    """As one agent sees the game: R[x, a, the others' joint cell], its policy, and the others' probabilities."""
    agents, signals, actions = game.logits.shape
    reward = np.moveaxis(game.reward, agent, 0).reshape(signals, actions, -1)
    others = np.ones(1)
    for j in range(agents):
        if j != agent:
            others = np.multiply.outer(others, game.cells[j]).reshape(-1)
    return reward, game.policy[agent], others


def _of_total(
    part: Float64[ndarray, "m a"], logits: Float64[ndarray, "n m a"], pay: Callable[[ndarray], ndarray]
) -> TeamGame:
    """R is a function of a sum over agents."""
    total = np.zeros(())
    for _ in logits:
        total = np.add.outer(total, part.reshape(-1))
    signals = logits.shape[1]
    return TeamGame(signal=np.full(signals, 1 / signals), logits=logits, reward=pay(total))
