"""Runs from checkpoint to checkpoint: memory that grows, blocks of runs, threads."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from suasion.td._choices import UNIFORM, UPPER
from suasion.td._kernels import (
    DOUBLE,
    DYNA,
    EPISODE,
    LAMBDA,
    N_STEP,
    SWEEP,
    TREE,
    WATKINS,
    WEIGHED_EPISODE,
    WEIGHED_STEP,
    Asked,
    Kernel,
    Memory,
    Runs,
    learner,
)
from suasion.td._lanes import LOCKSTEP, lockstep
from suasion.td._random import streams
from suasion.td._schedules import CONSTANT
from suasion.td._simulator import Tables

_FOREVER = 1 << 62
_LONGEST = 10_000_000  # steps of an episode after which it is said not to end
_MOST = 1 << 26  # steps that Monte Carlo remembers, of all runs together: a gigabyte
_LANES_FROM = 3  # runs: one or two are faster one after the other


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How long each run goes on, and when it is looked at.

    Attributes:
        checkpoints: ascending, in steps or episodes of a run; the run ends at the last.
        episodes: whether they count episodes.
        time_limit: steps after which an episode is cut off, or None.
        threads: that share the runs.
        block: runs that are played by one thread at a time, at most.
    """

    checkpoints: Int64[ndarray, "_"]
    episodes: bool
    time_limit: int | None
    threads: int
    block: int


def play(
    tables: Tables,
    rule: int,
    asked: Asked,
    first: Float64[ndarray, "_"],
    seed: int | np.random.SeedSequence,
    runs: int,
    budget: Budget,
    seen: Callable[[int, ndarray], None],
) -> Runs:
    """Play all runs, and show `seen` the tables at each checkpoint.

    Raises:
        ValueError: an episode does not end; the run, with its steps.
    """
    held = prepared(rule, asked, first, seed, runs, budget, tables)
    kernel = _kernel(rule, tables, asked, runs, budget)
    with ThreadPoolExecutor(budget.threads) as pool:
        for i, goal in enumerate(budget.checkpoints):
            held = _advance(kernel, tables, held, rule, asked, int(goal), budget, pool)
            seen(i, held.q[:, 0])
    return held


def _advance(
    kernel: Callable[..., None],
    tables: Tables,
    held: Runs,
    rule: int,
    asked: Asked,
    goal: int,
    budget: Budget,
    pool: ThreadPoolExecutor,
) -> Runs:
    """Play until each run has come to a checkpoint."""
    size = min(budget.block, -(-len(held.steps) // budget.threads))
    while True:
        played = held.episodes if budget.episodes else held.steps
        waiting = played < goal
        if not waiting.any():
            return held
        held = with_room(held, rule, budget)
        until = int(held.steps[waiting].min()) + _LONGEST if budget.episodes else goal
        ended = goal if budget.episodes else held.returns.shape[1]

        def block(start: int, held: Runs = held, until: int = until, ended: int = ended) -> None:
            last = min(start + size, len(held.steps))
            kernel(start, last, until, ended, tables, held, asked)

        list(pool.map(block, range(0, len(held.steps), size)))
        waits = rule in (EPISODE, WEIGHED_EPISODE)
        full = waits and held.held.max() == held.listed.shape[1] and held.listed.size >= _MOST
        if full or ((budget.episodes or waits) and (held.clock >= _LONGEST).any()):
            run = int(np.argmax(held.clock))
            raise ValueError(
                f"episode {int(held.episodes[run])} of run {run} has not ended after {int(held.clock[run])} steps: "
                "give time_limit, or, for a rule that does not wait for the end, steps rather than episodes"
            )


def with_room(held: Runs, rule: int, budget: Budget) -> Runs:
    """More room for what has none left: twice as much, or for episodes what they will need if they go on as they do."""
    room = held.returns.shape[1]
    if not budget.episodes and (full := held.episodes == room).any():
        needed = int(1.2 * room * budget.checkpoints[-1] / held.steps[full].min())
        room = min(max(needed, 2 * room), 8 * room)
        held = held._replace(returns=_wider(held.returns, room), lengths=_wider(held.lengths, room))
    if rule in (EPISODE, WEIGHED_EPISODE) and (held.held == held.listed.shape[1]).any():
        more = 2 * held.listed.shape[1]
        held = held._replace(listed=_wider(held.listed, more), rewards=_wider(held.rewards, more))
        if rule == WEIGHED_EPISODE:
            held = held._replace(memory=held.memory._replace(ratios=_wider(held.memory.ratios, more)))
    return held


def _wider(rows: ndarray, width: int) -> ndarray:
    """The same rows with zeros behind them."""
    wide = np.zeros((len(rows), width), rows.dtype)
    wide[:, : rows.shape[1]] = rows
    return wide


def prepared(
    rule: int,
    asked: Asked,
    first: ndarray,
    seed: int | np.random.SeedSequence,
    runs: int,
    budget: Budget,
    tables: Tables,
) -> Runs:
    """Before the first step."""
    size = len(first)
    counted = asked.step_size[0] != CONSTANT
    several, waits = rule in (N_STEP, TREE, WEIGHED_STEP), rule in (EPISODE, WEIGHED_EPISODE)
    listing = rule in (LAMBDA, WATKINS, DYNA, SWEEP)
    memory = asked.n if several else 256 if waits else size if listing else 1
    traced = waits or rule in (LAMBDA, WATKINS, SWEEP)
    room = int(budget.checkpoints[-1]) if budget.episodes else 256
    number = 3 if rule == DOUBLE else 1
    zeros = np.zeros(runs, np.int64)
    return Runs(
        rng=streams(seed, runs),
        q=np.broadcast_to(first, (runs, number, size)).copy(),
        visits=np.zeros((runs, number, size) if counted else (1, 1, 1), np.int64),
        choice=zeros - 1,
        clock=zeros.copy(),
        steps=zeros.copy(),
        episodes=zeros.copy(),
        total=np.broadcast_to([0.0, 1.0], (runs, 2)).copy(),
        returns=np.zeros((runs, room)),
        lengths=np.zeros((runs, room), np.int64),
        held=zeros.copy(),
        listed=np.zeros((runs, memory), np.int64),
        rewards=np.zeros((runs, memory if several or waits else 1)),
        trace=np.zeros((runs, size) if traced else (1, 1)),
        old=np.zeros(runs),
        memory=_memory(rule, asked, runs, size, memory, tables),
    )


def _memory(rule: int, asked: Asked, runs: int, size: int, recent: int, tables: Tables) -> Memory:
    """Of a rule; as small as can be where it needs none."""
    planner, weighed = rule in (DYNA, SWEEP), rule in (WEIGHED_STEP, WEIGHED_EPISODE)
    one = (1, 1)
    return Memory(
        counts=np.zeros((runs, len(tables.branches.reward)) if planner else one, np.int64),
        tried=np.zeros((runs, size) if planner or asked.acting == UPPER else one, np.int64),
        last=np.zeros((runs, size) if rule == DYNA else one, np.int64),
        place=np.zeros((runs, size) if rule == SWEEP else one, np.int64),
        ratios=np.zeros((runs, recent) if weighed else one),
        sums=np.zeros((runs, size) if rule == WEIGHED_EPISODE else one),
    )


def _kernel(rule: int, tables: Tables, asked: Asked, runs: int, budget: Budget) -> Kernel:
    """The fastest that there is for the rule and the model."""
    choices, simple = _equal(tables), plain(asked)
    if rule in LOCKSTEP and simple and choices > 1 and tables.stride and runs >= _LANES_FROM:
        return functools.partial(lockstep(rule, choices), not budget.episodes)
    return learner(rule, choices, simple, asked.acting == UPPER, tables.stride == 1)


def _equal(tables: Tables) -> int:
    """The number of choices in each state, for the compiler, if it is one and small; else 0."""
    count = int(tables.width[0])
    return count if count <= 8 and (tables.width == count).all() else 0


def plain(asked: Asked) -> bool:
    constant = asked.step_size[0] == CONSTANT and asked.level[0] == CONSTANT
    return constant and asked.acting == UNIFORM
