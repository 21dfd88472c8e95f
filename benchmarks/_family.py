"""The decision processes that solvers are compared on: seeded generators, in the layout of `suasion.markov.MDP`.

Rewards are to be maximised, or costs to be minimised where `COSTS` says so. S states, C choices, B branches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


def garnet(states: int, actions: int, fan_out: int, seed: int = 0) -> Arrays:
    """Random targets, random probabilities, normal rewards (Archibald, McKinnon & Thomas 1995)."""
    rng = np.random.default_rng(seed)
    choices = states * actions
    target = np.sort(rng.integers(0, states, (choices, fan_out), np.int32), axis=1)
    cuts = np.sort(rng.random((choices, fan_out - 1)), axis=1)
    probability = np.diff(np.pad(cuts, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))), axis=1)
    return {
        "choice_start": np.arange(0, choices + 1, actions),
        "branch_start": np.arange(0, choices * fan_out + 1, fan_out),
        "target": target.ravel(),
        "probability": probability.ravel(),
        "choice_reward": rng.standard_normal(choices),
        "terminal": np.zeros(states, bool),
    }


def grid(side: int, shuffled: bool = False, walls: float = 0.15, slip: float = 0.1, seed: int = 0) -> Arrays:
    """A room with walls, its largest component; a step costs 1 and slips sideways; the last cell is the goal."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    label, _ = ndimage.label(rng.random((side, side)) >= walls)
    sizes = np.bincount(label.ravel())
    sizes[0] = 0
    open_ = label == sizes.argmax()
    states = int(open_.sum())
    number = np.full((side, side), -1)
    number[open_] = rng.permutation(states) if shuffled else np.arange(states)
    goal = int(number[open_][-1])
    y, x = np.nonzero(open_)
    me = number[y, x]

    def beside(down: int, right: int) -> np.ndarray:
        there = number[np.clip(y + down, 0, side - 1), np.clip(x + right, 0, side - 1)]
        return np.where(there >= 0, there, me)

    ways = [beside(-1, 0), beside(0, 1), beside(1, 0), beside(0, -1)]
    target = np.stack([np.stack([ways[a], ways[(a + 1) % 4], ways[(a - 1) % 4]], -1) for a in range(4)], 1)
    target = target[np.argsort(me)]
    terminal = np.arange(states) == goal
    target = target[~terminal]
    choices = len(target) * 4
    return {
        "choice_start": np.concatenate([[0], np.cumsum(np.where(terminal, 0, 4))]),
        "branch_start": np.arange(0, 3 * choices + 1, 3),
        "target": target.ravel(),
        "probability": np.tile([1 - 2 * slip, slip, slip], choices),
        "choice_reward": np.ones(choices),
        "terminal": terminal,
    }


def queue(room: int = 300) -> Arrays:
    """Two queues in a row, two speeds of each server, in discrete time by uniformisation; customers and speed cost."""
    n1, n2 = (n.ravel() for n in np.mgrid[: room + 1, : room + 1])
    here = np.arange(len(n1))
    speeds, prices = (0.3, 0.6), (0.0, 2.0)
    arrival = 0.4
    total = arrival + 2 * speeds[1]
    target, probability, cost = [], [], []
    for fast1 in (0, 1):
        for fast2 in (0, 1):
            rates = [
                np.where(n1 < room, arrival, 0.0),
                np.where((n1 > 0) & (n2 < room), speeds[fast1], 0.0),
                np.where(n2 > 0, speeds[fast2], 0.0),
            ]
            after = [
                np.minimum(n1 + 1, room) * (room + 1) + n2,
                np.maximum(n1 - 1, 0) * (room + 1) + np.minimum(n2 + 1, room),
                n1 * (room + 1) + np.maximum(n2 - 1, 0),
            ]
            p = [rate / total for rate in rates]
            target.append(np.stack([*after, here], -1))
            probability.append(np.stack([*p, 1 - sum(p)], -1))
            cost.append((n1 + n2) / 10 + prices[fast1] + prices[fast2])
    choices = 4 * len(here)
    return {
        "choice_start": np.arange(0, choices + 1, 4),
        "branch_start": np.arange(0, 4 * choices + 1, 4),
        "target": np.stack(target, 1).ravel(),
        "probability": np.stack(probability, 1).ravel(),
        "choice_reward": np.stack(cost, 1).ravel(),
        "terminal": np.zeros(len(here), bool),
    }


def inventory(capacity: int = 2000, orders: int = 100, demands: int = 64) -> Arrays:
    """Stock, an order of 0 to 99 tens, a demand of 0 to 63 tens by a truncated Poisson law; sales less costs."""
    stock = np.arange(capacity + 1)
    level = np.minimum(stock[:, None] + 10 * np.arange(orders), capacity)
    demand = 10 * np.arange(demands)
    law = np.exp(np.arange(demands) * np.log(25.0) - np.cumsum(np.log(np.maximum(np.arange(demands), 1))))
    law /= law.sum()
    after = np.maximum(level[:, :, None] - demand, 0)
    sales = ((level[:, :, None] - after) * law).sum(-1)
    price = 4.0 * sales - 0.05 * level - 2.0 * (level - stock[:, None]) - np.where(np.arange(orders) > 0, 30.0, 0.0)
    choices = level.size
    return {
        "choice_start": np.arange(0, choices + 1, orders),
        "branch_start": np.arange(0, choices * demands + 1, demands),
        "target": after.ravel(),
        "probability": np.tile(law, choices),
        "choice_reward": price.ravel(),
        "terminal": np.zeros(capacity + 1, bool),
    }


def forest(ages: int = 100_000, fire: float = 0.1) -> Arrays:
    """Wait and grow, or cut; a fire takes all (the example of MDPtoolbox)."""
    age = np.arange(ages)
    grown = np.minimum(age + 1, ages - 1)
    target = np.stack([np.zeros(ages, int), grown, np.zeros(ages, int)], -1)
    reward = np.zeros((ages, 2))
    reward[-1, 0] = 4.0
    reward[1:, 1] = 1.0
    reward[-1, 1] = 2.0
    return {
        "choice_start": np.arange(0, 2 * ages + 1, 2),
        "branch_start": np.sort(np.concatenate([np.arange(0, 3 * ages, 3), np.arange(2, 3 * ages + 1, 3), [3 * ages]])),
        "target": target.ravel(),
        "probability": np.tile([fire, 1 - fire, 1.0], ages),
        "choice_reward": reward.ravel(),
        "terminal": np.zeros(ages, bool),
    }


def layered(layers: int = 1000, width: int = 1000, actions: int = 4, seed: int = 0) -> Arrays:
    """Each choice leads to three states of the next layer, or stays; the last layer ends; states in random order."""
    rng = np.random.default_rng(seed)
    states = layers * width
    number = rng.permutation(states).astype(np.int32)
    acting = (layers - 1) * width
    onwards = rng.integers(0, width, (acting, actions, 3), np.int32)
    onwards += ((np.arange(acting) // width + 1) * width)[:, None, None].astype(np.int32)
    stays = np.broadcast_to(np.arange(acting, dtype=np.int32)[:, None, None], (acting, actions, 1))
    target = number[np.concatenate([onwards, stays], -1)]
    probability = rng.random((acting, actions, 4)) + 0.1
    probability /= probability.sum(-1, keepdims=True)
    reward = rng.standard_normal((acting, actions))
    order = np.argsort(number[:acting])
    terminal = np.ones(states, bool)
    terminal[number[:acting]] = False
    choices = acting * actions
    return {
        "choice_start": np.concatenate([[0], np.cumsum(np.where(terminal, 0, actions))]),
        "branch_start": np.arange(0, 4 * choices + 1, 4),
        "target": target[order].ravel(),
        "probability": probability[order].ravel(),
        "choice_reward": reward[order].ravel(),
        "terminal": terminal,
    }


FAMILY: dict[str, Callable[[], Arrays]] = {
    "garnet-1e5": lambda: garnet(100_000, 4, 8),
    "garnet-1e6": lambda: garnet(1_000_000, 4, 4),
    "grid-1000": lambda: grid(1000),
    "grid-1000-shuffled": lambda: grid(1000, shuffled=True),
    "grid-300": lambda: grid(300),
    "grid-300-shuffled": lambda: grid(300, shuffled=True),
    "queue": queue,
    "inventory": inventory,
    "forest": forest,
    "layered": layered,
}
COSTS = ("grid-1000", "grid-1000-shuffled", "grid-300", "grid-300-shuffled", "queue")
