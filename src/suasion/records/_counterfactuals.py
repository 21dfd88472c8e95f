"""What agents would have done: all of it, for one episode, in a file beside the episode's.

Letters of the shapes: t steps, n agents, k influences j, c actions of k, a actions of j.
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
from suasion.records._episode import Episode

_KIND = "counterfactuals"
_FORMAT = 1
_LISTS = ("actions_names", "agents")


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterfactuals:
    """What agent j would have done in step t + `ahead`, for each action of agent k in step t; validated at birth.

    Probabilities are in 255ths, rounded: within 1/510 of the truth. A table of zeros was not asked for: k = j, a
    pair that the run's influence does not count, or a step that the episode does not reach.

    Attributes:
        game: name of the game.
        actions_names: names of the actions 0, 1, ...
        agents: name of each agent.
        seed: of the episode.
        step: environment steps that the agents had been trained for.
        ahead: 0 or 1, see above.
        conditionals: uint8[t, n, n, a, a], at [t, k, j, c] the distribution of j's action given that k does c.
        marginals: uint8[t, n, n, a], the same on average over what k might have done.

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

    def __post_init__(self) -> None:
        if not self.actions_names or not self.agents:
            raise RecordError(f"{len(self.actions_names)} actions, {len(self.agents)} agents; at least 1 each")
        for name, largest in (("seed", 2**64 - 1), ("step", 2**64 - 1), ("ahead", 1)):
            if not 0 <= getattr(self, name) <= largest:
                raise RecordError(f"{name} is {getattr(self, name)}; must be within 0 and {largest}")
        steps = len(self.conditionals) if self.conditionals.ndim else 0
        for name, shape in _shapes(steps, len(self.agents), len(self.actions_names)).items():
            array = getattr(self, name)
            if array.dtype != np.uint8 or array.shape != shape:
                raise RecordError(f"{name} is of {array.dtype} and shape {array.shape}, not uint8 and {shape}")


def write_counterfactuals(
    path: str | Path, episode: Episode, ahead: int, blocks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Write an envelope of kind "counterfactuals", block by block: the blocks need not fit into memory together.

    What is held is one block, and the marginals of all.

    Args:
        path: the file; an old one is replaced.
        episode: that they belong to.
        ahead: see `Counterfactuals`.
        blocks: `conditionals` and `marginals` of successive steps; may be a generator.

    Raises:
        RecordError: blocks of other types or shapes, or of fewer or more steps than the episode has.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    shapes = _shapes(len(episode.actions), len(episode.agents), len(episode.actions_names))
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
        for conditional, marginal in blocks:
            for array, shape in zip((conditional, marginal), shapes.values(), strict=True):
                if array.dtype != np.uint8 or array.shape != (len(conditional), *shape[1:]):
                    raise RecordError(f"{path}: a block of {array.dtype} and shape {array.shape} from step {steps} on")
            marginals.append(marginal)
            steps += len(conditional)
            yield np.ascontiguousarray(conditional).reshape(-1).data
        for marginal in marginals:
            yield np.ascontiguousarray(marginal).reshape(-1).data

    header = {"game": episode.game, "actions_names": episode.actions_names, "agents": episode.agents}
    numbers = {"seed": episode.seed, "step": episode.step, "ahead": ahead, "format": _FORMAT}
    stream_envelope(path, _KIND, pieces(), 8 + len(head) + sum(sizes), header | numbers)


def read_counterfactuals(path: str | Path) -> Counterfactuals:
    """Read what `write_counterfactuals` wrote; the arrays are read-only and share one buffer of the file's size.

    Raises:
        RecordError: missing, foreign, damaged, newer, or nothing that could have been written. No other.
    """
    envelope = read_envelope(path, _KIND)
    header, arrays = dict(envelope.header), envelope.arrays
    number = header.pop("format", None)
    if type(number) is not int or number != _FORMAT:
        age = "newer than" if type(number) is int and number > _FORMAT else "unknown to"
        raise RecordError(f"{path}: counterfactuals format {str(number)[:40]}, {age} this program (it reads {_FORMAT})")
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
    fields: dict[str, Any] = {**header, **arrays} | {name: tuple(header[name]) for name in _LISTS}
    try:
        return Counterfactuals(**fields)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


def _shapes(steps: int, agents: int, actions: int) -> dict[str, tuple[int, ...]]:
    """Of the arrays, in the order of the file."""
    pairs = (steps, agents, agents)
    return {"conditionals": (*pairs, actions, actions), "marginals": (*pairs, actions)}
