"""Writing DRN: numbers by their shortest digits that read back the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from suasion.markov._files._actions import tokens
from suasion.markov._files._parts import INITIAL, Parts, close_ends, initial_set
from suasion.markov._files._seen import Seen, by_state
from suasion.markov._files._source import FormatError, packed, plain_json
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question
from suasion.records import write_whole

_WORD = re.compile(r'[^\s"\[\]{}]+')
_STATES = 4096  # written at a time


def write_drn(model: MDP | POMDP, path: Path, question: Question) -> None:
    """Write a DRN file; compressed if its name ends in .gz or .xz.

    Raises:
        FormatError: the format cannot hold the model.
    """
    mdp = model.mdp if isinstance(model, POMDP) else model
    if mdp.branch_reward is not None:
        raise FormatError(
            f"{path}: DRN holds no rewards of outcomes; write .umb or .npz, or a model of the expected rewards, "
            "`marginals`"
        )
    seen = by_state(model, path, "DRN") if isinstance(model, POMDP) else None
    if seen and seen.probability is not None:
        raise FormatError(f"{path}: DRN holds one observation of each state, not a distribution; write .umb or .npz")
    parts = close_ends(mdp, path)
    own = _own(model, parts, question, seen)
    first = initial_set(parts, path)
    if first is not None:
        parts.labels[INITIAL] = first
    lines = ["@type: POMDP" if seen else "@type: MDP", "@parameters", "", "@reward_models", "reward"]
    lines += ["@nr_states", str(mdp.n_states), "@nr_choices", str(len(parts.choice_reward)), "@model", ""]
    if own:
        lines.insert(0, f"// suasion {plain_json(own, str(path)).decode()}")
    write_whole(path, packed(path, _text("\n".join(lines), parts, seen, tokens(mdp.actions), path)))


def _own(model: MDP | POMDP, parts: Parts, question: Question, seen: Seen | None) -> dict[str, Any]:
    """What the format has no place for."""
    own: dict[str, Any] = {}
    if parts.actions:
        own["actions"] = parts.actions
    if parts.states:
        own["states"] = parts.states
    if bare := [name for name, held in parts.labels.items() if not held.any()]:
        own["labels"] = bare
    if parts.initial is not None and not (parts.initial == 1).any():
        own["initial"] = parts.initial.tolist()
    if question.discount is not None:
        own["discount"] = question.discount
    if not question.maximise:
        own["maximise"] = False
    if seen and isinstance(model, POMDP):
        own |= {"symbols": seen.symbols, "n_actions": seen.actions, "observations": model.observations}
    return own


def _text(head: str, parts: Parts, seen: Seen | None, names: list[str], path: Path) -> Iterator[bytes]:
    yield head.encode()
    labels = _labels(parts.labels, len(parts.choice_start) - 1, path)
    action = np.zeros(0, np.int32) if parts.action is None else parts.action
    for begin in range(0, len(labels), _STATES):
        end = min(begin + _STATES, len(labels))
        lines: list[str] = []
        choices = parts.choice_start[begin : end + 1].tolist()
        low, high = choices[0], choices[-1]
        branches = parts.branch_start[low : high + 1].tolist()
        first, last = branches[0], branches[-1]
        outcomes = [
            f"\t\t{s} : {p!r}\n"
            for s, p in zip(parts.target[first:last].tolist(), parts.probability[first:last].tolist(), strict=True)
        ]
        heads = [
            f"\taction {names[a] if names else a} [{r!r}]\n"
            for a, r in zip(action[low:high].tolist(), parts.choice_reward[low:high].tolist(), strict=True)
        ]
        for s in range(begin, end):
            observation = f" {{{seen.symbol[s]}}}" if seen else ""
            lines.append(f"state {s}{observation}{labels[s]}\n")
            for c in range(choices[s - begin] - low, choices[s - begin + 1] - low):
                lines.append(heads[c])
                lines += outcomes[branches[c] - first : branches[c + 1] - first]
        yield "".join(lines).encode()


def _labels(labels: dict[str, ndarray], states: int, path: Path) -> list[str]:
    """The labels of each state, as written."""
    held = [""] * states
    for name, members in labels.items():
        if not name or '"' in name or not name.isprintable():
            raise FormatError(f"{path}: DRN holds no label {name!r}: empty, with quotes or unprintable")
        text = f" {name}" if _WORD.fullmatch(name) else f' "{name}"'
        for s in np.flatnonzero(members).tolist():
            held[s] += text
    return held
