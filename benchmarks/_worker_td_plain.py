"""Worker: Q-learning and Sarsa as users write them: on Gymnasium with a NumPy table, and on plain lists."""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Callable

import numpy as np

from benchmarks._measure import tell, timed
from benchmarks._td_models import EPSILON, SETTINGS, table

STEPS = 20_000  # of a turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("gymnasium", "lists"))
    parser.add_argument("model", choices=SETTINGS)
    parser.add_argument("rule", choices=("q", "sarsa"))
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    make = on_gymnasium if given.engine == "gymnasium" else on_lists
    tell(**timed(make(given.model, given.rule == "sarsa"), given.seconds))


def on_gymnasium(name: str, sarsa: bool) -> Callable[[], int]:
    """A loop over `env.step`, Q an array, as in the tutorials."""
    import gymnasium

    asked = SETTINGS[name]
    env = gymnasium.make(asked.gymnasium, **({"max_episode_steps": asked.limit} if asked.limit else {}))
    actions, rng = int(env.action_space.n), np.random.default_rng(0)
    q = np.zeros((env.observation_space.n, actions))
    env.reset(seed=0)

    def act(s: int) -> int:
        if rng.random() < EPSILON:
            return int(rng.integers(actions))
        return int(rng.choice(np.flatnonzero(q[s] == q[s].max())))

    def turn() -> int:
        s, _ = env.reset()
        a = act(s)
        for _ in range(STEPS):
            after, reward, terminated, truncated, _ = env.step(a)
            b = act(after)
            follows = 0.0 if terminated else q[after, b] if sarsa else q[after].max()
            q[s, a] += asked.step_size * (reward + asked.discount * follows - q[s, a])
            s, a = after, b if sarsa else act(after)
            if terminated or truncated:
                s, _ = env.reset()
                a = act(s)
        return STEPS

    return turn


def on_lists(name: str, sarsa: bool) -> Callable[[], int]:
    """No arrays and no objects: lists, local names, one branch where nothing is left to chance."""
    asked = SETTINGS[name]
    transitions, initial = table(name)
    actions = len(transitions[0])
    draws = [
        [_branches(transitions[s][a]) for a in range(actions)] for s in range(len(transitions))
    ]  # [s][a] = (cumulative, outcomes)
    first_chance = list(itertools.accumulate(float(p) for p in initial))
    states = range(len(first_chance))
    q = [[0.0] * actions for _ in draws]
    uniform, choices = random.Random(0).random, random.Random(1).choices
    alpha, discount, limit = asked.step_size, asked.discount, asked.limit or 1 << 62

    def act(row: list[float]) -> int:
        if (u := uniform()) < EPSILON:
            return int(u / EPSILON * actions)
        best = max(row)
        if row.count(best) == 1:
            return row.index(best)
        tied = [a for a in range(actions) if row[a] == best]
        return tied[int(uniform() * len(tied))]

    def turn() -> int:
        s = choices(states, cum_weights=first_chance)[0]
        row = q[s]
        a = act(row)
        clock = 0
        for _ in range(STEPS):
            cumulative, outcomes = draws[s][a]
            if cumulative is None:
                after, reward, ended = outcomes
            else:
                u, k = uniform(), 0
                while cumulative[k] <= u:
                    k += 1
                after, reward, ended = outcomes[k]
            clock += 1
            ahead = q[after]
            if sarsa:
                b = act(ahead)
                row[a] += alpha * (reward + (0.0 if ended else discount * ahead[b]) - row[a])
            else:
                row[a] += alpha * (reward + (0.0 if ended else discount * max(ahead)) - row[a])
                b = act(ahead)
            s, row, a = after, ahead, b
            if ended or clock >= limit:
                s, clock = choices(states, cum_weights=first_chance)[0], 0
                row = q[s]
                a = act(row)
        return STEPS

    return turn


def _branches(rows: list) -> tuple:
    """Cumulative chances (None without chance) and (s', r, ended)."""
    if len(rows) == 1:
        return None, rows[0][1:]
    cumulative = list(itertools.accumulate(float(row[0]) for row in rows))
    cumulative[-1] = 1.0
    return cumulative, [row[1:] for row in rows]


if __name__ == "__main__":
    main()
