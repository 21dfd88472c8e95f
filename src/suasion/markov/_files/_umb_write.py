"""Writing UMB: the arrays of the model go out as they lie in memory, widened where the format is wider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from suasion.markov._files import _tar
from suasion.markov._files._index import INDEX, TOOL
from suasion.markov._files._parts import Parts, close_ends, initial_set
from suasion.markov._files._seen import Seen, by_state
from suasion.markov._files._source import FormatError, packed, plain_json
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question
from suasion.records import write_whole

_DOUBLE = {"type": "double", "size": 64}
_BOOL = {"type": "bool", "size": 1}
_PLAIN = re.compile("[0-9a-z_-]{1,40}")


def write_umb(model: MDP | POMDP, path: Path, question: Question) -> None:
    """Write a UMB file; compressed if its name ends in .gz or .xz.

    Raises:
        FormatError: the format cannot hold the model.
    """
    mdp = model.mdp if isinstance(model, POMDP) else model
    if not mdp.n_states:
        raise FormatError(f"{path}: UMB holds no model without states")
    seen = by_state(model, path, "UMB") if isinstance(model, POMDP) else None
    parts = close_ends(mdp, path)
    first = initial_set(parts, path)
    files = _arrays(parts, first)
    if mdp.actions:
        files |= _strings("actions/choices", mdp.actions)
    system = _system(parts, first, seen)
    if seen:
        system |= _observe(seen, files)
    annotations: dict[str, Any] = {"rewards": _reward(parts, files), "aps": _labels(parts.labels, files)}
    if own := _own(mdp, files):
        annotations[TOOL] = own
    index = {
        "format-version": 1,
        "format-revision": 0,
        "file-data": {"tool": TOOL, "parameters": _parameters(model, question)},
        "transition-system": system,
        "annotations": annotations,
    }
    text = plain_json(index, f"{path}: {INDEX}")
    write_whole(path, packed(path, _archive({INDEX: text, **files})))


def _system(parts: Parts, first: ndarray | None, seen: Seen | None) -> dict[str, Any]:
    used = 0 if parts.action is None else int(parts.action.max(initial=0)) + 1
    return {
        "time": "discrete",
        "#players": 1,
        "#states": len(parts.choice_start) - 1,
        "#initial-states": 0 if first is None else int(first.sum()),
        "#choices": len(parts.choice_reward),
        "#choice-actions": len(parts.actions) or max(used, seen.actions if seen else 0),
        "#branches": len(parts.target),
        "#branch-actions": 0,
        "#observations": seen.symbols if seen else 0,
        "branch-probability-type": _DOUBLE,
    }


def _arrays(parts: Parts, first: ndarray | None) -> dict[str, ndarray | bytes]:
    files: dict[str, ndarray | bytes] = {
        "state-to-choices.bin": _wide(parts.choice_start),
        "choice-to-branches.bin": _wide(parts.branch_start),
        "branch-to-target.bin": _wide(parts.target),
        "branch-to-probability.bin": np.ascontiguousarray(parts.probability, "<f8"),
        "actions/choices/values.bin": np.asarray(parts.action).astype("<u4"),
    }
    if first is not None:
        files["state-is-initial.bin"] = _bits(first)
    return files


def _archive(files: dict[str, ndarray | bytes]) -> Iterator[bytes | memoryview]:
    for name, content in files.items():
        view = memoryview(content) if isinstance(content, bytes) else content.reshape(-1).view(np.uint8).data
        yield _tar.header(name, view.nbytes)
        yield view
        yield bytes(-view.nbytes % _tar.BLOCK)
    yield bytes(2 * _tar.BLOCK)


def _wide(numbers: ndarray) -> ndarray:
    return np.ascontiguousarray(numbers, dtype="<i8").view("<u8")  # none is below 0


def _bits(held: ndarray) -> bytes:
    content = np.packbits(held, bitorder="little").tobytes()
    return content + bytes(-len(content) % 8)


def _strings(folder: str, names: Sequence[str]) -> dict[str, ndarray | bytes]:
    pieces = [name.encode(errors="surrogatepass") for name in names]
    ends = np.cumsum([0, *map(len, pieces)]).astype("<u8")
    return {f"{folder}/string-mapping.bin": ends, f"{folder}/strings.bin": b"".join(pieces)}


def _reward(parts: Parts, files: dict[str, ndarray | bytes]) -> dict[str, Any]:
    where = ["choices"]
    files["annotations/rewards/reward/choices/values.bin"] = np.ascontiguousarray(parts.choice_reward, "<f8")
    if parts.branch_reward is not None:
        where.append("branches")
        files["annotations/rewards/reward/branches/values.bin"] = np.ascontiguousarray(parts.branch_reward, "<f8")
    return {"reward": {"alias": "reward", "applies-to": where, "type": _DOUBLE}}


def _labels(labels: dict[str, ndarray], files: dict[str, ndarray | bytes]) -> dict[str, Any]:
    """Identifiers are labels where these are words of the standard."""
    held: dict[str, Any] = {}
    for number, (label, states) in enumerate(labels.items()):
        name = label if _PLAIN.fullmatch(label) else f"label_{number}"
        while name in held:
            name += "_"
        held[name] = {"alias": label, "applies-to": ["states"], "type": _BOOL}
        files[f"annotations/aps/{name}/states/values.bin"] = _bits(states)
    return held


def _observe(seen: Seen, files: dict[str, ndarray | bytes]) -> dict[str, Any]:
    folder = "observations/states"
    files[f"{folder}/values.bin"] = _wide(seen.symbol)
    if seen.probability is None:
        return {"observations-apply-to": "states"}
    files[f"{folder}/distribution-mapping.bin"] = _wide(seen.start)
    files[f"{folder}/probabilities.bin"] = np.ascontiguousarray(seen.probability, "<f8")
    return {"observations-apply-to": "states", "observation-probability-type": _DOUBLE}


def _own(mdp: MDP, files: dict[str, ndarray | bytes]) -> dict[str, Any]:
    """What the standard has no place for."""
    own: dict[str, Any] = {}
    if mdp.initial is not None and not (mdp.initial == 1).any():
        own["initial"] = {"applies-to": ["states"], "type": _DOUBLE}
        files[f"annotations/{TOOL}/initial/states/values.bin"] = np.ascontiguousarray(mdp.initial, "<f8")
    return own


def _parameters(model: MDP | POMDP, question: Question) -> dict[str, Any]:
    held: dict[str, Any] = {}
    if question.discount is not None:
        held["discount"] = question.discount
    if not question.maximise:
        held["maximise"] = False
    if isinstance(model, POMDP) and len(model.observation) > len(model.mdp.actions) > 0:
        held["n_actions"] = len(model.observation)
    if isinstance(model, POMDP) and model.observations:
        held["observations"] = list(model.observations)
    if states := (model.mdp if isinstance(model, POMDP) else model).states:
        held["states"] = list(states)  # Storm 2.0 reads no file in which an annotation or a valuation is a string
    return held
