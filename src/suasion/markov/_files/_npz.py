"""npz: the arrays of the record as they are, a zip archive that `numpy.load` opens; nothing is ever unpickled.

Members: the arrays of `MDP` by their names (`branch_reward` and `initial` may be absent), `labels` bool[L, S], for a
POMDP `observation` f64[A, S, O], and `text`: JSON in UTF-8 with the version, names and the question.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from suasion.markov._files._index import Node, question
from suasion.markov._files._source import FREE, RATIO, FormatError, plain_json, read_bytes, short, strict_json
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question
from suasion.records import write_whole

VERSION = 1
_WANTED = {
    "choice_start": ("<i8", 1),
    "branch_start": ("<i8", 1),
    "target": ("<i4", 1),
    "probability": ("<f8", 1),
    "choice_reward": ("<f8", 1),
    "branch_reward": ("<f8", 1),
    "action": ("<i4", 1),
    "terminal": ("|b1", 1),
    "initial": ("<f8", 1),
    "labels": ("|b1", 2),
    "observation": ("<f8", 3),
    "text": ("|u1", 1),
}
_MAY_MISS = {"branch_reward", "initial", "observation"}
_MODEL = [name for name in _WANTED if name not in ("labels", "observation", "text")]


def write_npz(model: MDP | POMDP, path: Path, question: Question) -> None:
    """Write the arrays of the record; any model can be written."""
    mdp = model.mdp if isinstance(model, POMDP) else model
    text: dict[str, Any] = {"suasion": VERSION, "states": mdp.states, "actions": mdp.actions}
    text |= {"labels": list(mdp.labels), "discount": question.discount, "maximise": question.maximise}
    arrays = {name: getattr(mdp, name) for name in _MODEL if getattr(mdp, name) is not None}
    arrays["labels"] = np.array([*mdp.labels.values()], bool).reshape(len(mdp.labels), mdp.n_states)
    if isinstance(model, POMDP):
        text["observations"] = model.observations
        arrays["observation"] = model.observation
    arrays["text"] = np.frombuffer(plain_json(text, f"{path}: text"), np.uint8)
    buffer = io.BytesIO()
    plain: dict[str, Any] = {name: np.asarray(held, _WANTED[name][0], order="C") for name, held in arrays.items()}
    np.savez(buffer, **plain)
    write_whole(path, [buffer.getbuffer()])


def read_npz(path: Path, rewards: str | None = None) -> tuple[MDP | POMDP, Question]:
    """Read what `write_npz` wrote.

    Raises:
        FormatError: anything else; a member's sizes are held against its bytes before it becomes an array.
    """
    if rewards is not None:
        raise FormatError(f"{path}: an npz file has one reward model, without a name; rewards={short(rewards)}")
    arrays = _arrays(path)
    text = Node(strict_json(arrays.pop("text").tobytes(), f"{path}: text"), f"{path}: text")
    if (version := text["suasion"].whole()) != VERSION:
        raise FormatError(f"{path}: text.suasion is {version}; this program reads {VERSION}")
    labels, names = arrays.pop("labels"), text["labels"].texts()
    observation = arrays.pop("observation", None)
    if len(set(names)) != len(names) or len(names) != len(labels):
        raise FormatError(f"{path}: text.labels has {len(names)} names, perhaps one twice, for {len(labels)} labels")
    asked = question(text)
    try:
        model = MDP(
            **arrays,
            states=text["states"].texts(),
            actions=text["actions"].texts(),
            labels=dict(zip(names, labels, strict=True)),
        )
        if observation is None:
            return model, asked
        return POMDP(mdp=model, observation=observation, observations=text["observations"].texts()), asked
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, Any]:
    content = read_bytes(path)
    arrays: dict[str, Any] = {}
    left = FREE + RATIO * len(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name not in _WANTED or name in arrays:
                    raise FormatError(f"{path}: member {short(entry.filename)} does not belong here, or comes twice")
                left -= max(entry.file_size, 0)
                if left < 0 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise FormatError(f"{path}: {name}: {entry.file_size} bytes, more than this file may hold")
                with archive.open(entry) as member:
                    held = member.read(entry.file_size + 1)
                arrays[name] = _array(held, f"{path}: {name}", *_WANTED[name])
    except FormatError:
        raise
    except Exception as error:  # the errors of readers of zip archives are many
        raise FormatError(f"{path}: not a sound npz file: {error or type(error).__name__}") from error
    if missing := [name for name in _WANTED if name not in arrays and name not in _MAY_MISS]:
        raise FormatError(f"{path}: {missing[0]} is missing")
    return arrays


def _array(content: bytes, place: str, dtype: str, axes: int) -> ndarray:
    """An array in NumPy's format, of just this type and number of axes."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, held = read(file, max_header_size=1000)
    except Exception as error:  # the header is a literal of Python, and its parser's errors are many
        raise FormatError(f"{place}: no array of NumPy: {error or type(error).__name__}") from error
    if held != np.dtype(dtype) or len(shape) != axes or (fortran and axes > 1):
        raise FormatError(f"{place}: {held} with {len(shape)} axes, not {np.dtype(dtype)} with {axes} in order C")
    start, wanted = file.tell(), math.prod(shape) * held.itemsize
    if len(content) - start != wanted or min(shape) < 0:
        raise FormatError(f"{place}: {len(content) - start} bytes; shape {short(shape)} takes {wanted}")
    flat = np.frombuffer(content, np.uint8, offset=start)
    if held.kind == "b" and flat.size and flat.max() > 1:
        raise FormatError(f"{place}: a boolean of value {flat.max()}")
    try:
        return flat.view(held).reshape(shape).copy()
    except ValueError as error:  # no elements, but axes beyond what NumPy can address
        raise FormatError(f"{place}: shape {short(shape)}: {error}") from error
