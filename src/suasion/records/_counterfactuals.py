"""What agents would have done: all of it, for one episode, in a file beside the episode's.

Letters of the shapes: t steps, n agents, k influences j, c actions or messages of k, a actions of j.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suasion.records import _json
from suasion.records._disk import RecordError
from suasion.records._envelope import read_envelope, stream_envelope
from suasion.records._episode import Episode, check_kinds, kinds_read, kinds_written

_KIND = "counterfactuals"
_LISTS = ("actions_names", "agents")


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterfactuals:
    """What agent j would have done in step t + `ahead`, for each action or message of agent k in step t.

    Validated at birth. Probabilities are in 255ths, rounded: within 1/510 of the truth. A table of zeros was not asked
    for: k = j, a pair that the run's influence does not count, or a step that the episode does not reach.

    Attributes:
        game: name of the game.
        actions_names: names of the actions 0, 1, ...
        agents: name of each agent.
        seed: of the episode.
        step: environment steps that the agents had been trained for.
        ahead: 0 or 1, see above.
        conditionals: uint8[t, n, n, c, a], at [t, k, j, x] the distribution of j's action given that k does (or says)
            x.
        marginals: uint8[t, n, n, a], the same on average over what k might have done.
        varied: what of k is varied, its `action` or its `message`; see `Episode`.
        marginal: over what `marginals` average, k's `policy` in its state or on `average`; see `Episode`.

    Raises:
        RecordError: shapes that do not fit each other, numbers out of range.
    """

    game: str
    actions_names: tuple[str, ...]
    agents: tuple[str, ...]
    seed: int
    step: int
    ahead: int
    conditionals: np.ndarray
    marginals: np.ndarray
    varied: str = "action"
    marginal: str = "policy"

    def __post_init__(self) -> None:
        if not self.actions_names or not self.agents:
            raise RecordError(f"{len(self.actions_names)} actions, {len(self.agents)} agents; at least 1 each")
        for name, largest in (("seed", 2**64 - 1), ("step", 2**64 - 1), ("ahead", 1)):
            if not 0 <= getattr(self, name) <= largest:
                raise RecordError(f"{name} is {getattr(self, name)}; must be within 0 and {largest}")
        actions, rows = len(self.actions_names), self.conditionals.shape[3:4]
        check_kinds(self.varied, self.marginal, rows[0] if rows else actions, actions)
        steps = len(self.conditionals) if self.conditionals.ndim else 0
        for name, shape in _shapes(steps, len(self.agents), rows[0] if rows else actions, actions).items():
            array = getattr(self, name)
            if array.dtype != np.uint8 or array.shape != shape:
                raise RecordError(f"{name} is of {array.dtype} and shape {array.shape}, not uint8 and {shape}")


def write_counterfactuals(
    path: str | Path,
    episode: Episode,
    ahead: int,
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    symbols: int | None = None,
    marginal: str = "policy",
) -> None:
    """Write an envelope of kind "counterfactuals", block by block: the blocks need not fit into memory together.

    What is held is one block, and the marginals of all.

    Args:
        path: the file; an old one is replaced.
        episode: that they belong to.
        ahead: see `Counterfactuals`.
        blocks: `conditionals` and `marginals` of successive steps; may be a generator.
        symbols: how many a message is one of, where messages are varied; None where actions are.
        marginal: see `Counterfactuals`.

    Raises:
        RecordError: a marginal or symbols that cannot be; blocks of other types or shapes, or of fewer or more steps
            than the episode has.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    actions = len(episode.actions_names)
    varied, rows = ("action", actions) if symbols is None else ("message", symbols)
    check_kinds(varied, marginal, rows, actions)
    shapes = _shapes(len(episode.actions), len(episode.agents), rows, actions)
    sizes = [int(np.prod(shape, dtype=object)) for shape in shapes.values()]
    table: dict[str, Any] = {}
    for (name, shape), begin, end in zip(shapes.items(), (0, sizes[0]), (sizes[0], sum(sizes)), strict=True):
        table[name] = {"dtype": "U8", "shape": list(shape), "data_offsets": [begin, end]}
    head = _json.encode(table, f"{path}: names of arrays")
    head += b" " * (-len(head) % 8)

    def pieces() -> Iterator[bytes | memoryview]:
        yield struct.pack("<Q", len(head))
        yield head
        marginals, steps = [], 0
        for conditional, average in blocks:
            for array, shape in zip((conditional, average), shapes.values(), strict=True):
                if array.dtype != np.uint8 or array.shape != (len(conditional), *shape[1:]):
                    raise RecordError(f"{path}: a block of {array.dtype} and shape {array.shape} from step {steps} on")
            marginals.append(average)
            steps += len(conditional)
            yield np.ascontiguousarray(conditional).reshape(-1).data
        for average in marginals:
            yield np.ascontiguousarray(average).reshape(-1).data

    header: dict[str, Any] = {"game": episode.game, "actions_names": episode.actions_names, "agents": episode.agents}
    header |= {"seed": episode.seed, "step": episode.step, "ahead": ahead} | kinds_written(varied, marginal)
    stream_envelope(path, _KIND, pieces(), 8 + len(head) + sum(sizes), header)


def read_counterfactuals(path: str | Path) -> Counterfactuals:
    """Read what `write_counterfactuals` wrote; the arrays are read-only and share one buffer of the file's size.

    Raises:
        RecordError: missing, foreign, damaged, newer, or nothing that could have been written. No other.
    """
    envelope = read_envelope(path, _KIND)
    header, arrays = dict(envelope.header), envelope.arrays
    told = kinds_read(header, f"{path}: counterfactuals")
    kinds: dict[str, type] = {"game": str, "seed": int, "step": int, "ahead": int}
    known = kinds.keys() | set(_LISTS)
    if header.keys() != known or arrays.keys() != {"conditionals", "marginals"}:
        wrong = sorted((header.keys() ^ known) | (arrays.keys() ^ {"conditionals", "marginals"}))
        raise RecordError(f"{path}: missing or unknown: {', '.join(wrong)[:200]}")
    for name, kind in kinds.items():
        if type(header[name]) is not kind:
            raise RecordError(f"{path}: header.{name} must be {kind.__name__}")
    for name in _LISTS:
        if not isinstance(header[name], list) or not all(isinstance(entry, str) for entry in header[name]):
            raise RecordError(f"{path}: header.{name} must be a list of strings")
    fields: dict[str, Any] = {**header, **arrays, **told} | {name: tuple(header[name]) for name in _LISTS}
    try:
        return Counterfactuals(**fields)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


def _shapes(steps: int, agents: int, rows: int, actions: int) -> dict[str, tuple[int, ...]]:
    """Of the arrays, in the order of the file."""
    pairs = (steps, agents, agents)
    return {"conditionals": (*pairs, rows, actions), "marginals": (*pairs, actions)}
