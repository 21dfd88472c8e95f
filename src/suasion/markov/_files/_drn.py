"""DRN, Storm's explicit text format: reading MDPs, Markov chains and POMDPs.

Rewards of states and of actions are added. What a model of ours holds beyond the format stands in one comment,
`// suasion {...}`, before `@model`: names, labels of no state, question, distribution of the first state.

References:
    https://www.stormchecker.org/documentation/background/languages.html (explicit model descriptions)
"""

from __future__ import annotations

import math
import re
from array import array
from pathlib import Path

import numpy as np
from numpy import ndarray

from suasion.markov._files._actions import Actions
from suasion.markov._files._index import Node, question
from suasion.markov._files._lines import Lines
from suasion.markov._files._parts import INITIAL, Parts, assemble, chosen, marked, offsets, set_initial
from suasion.markov._files._seen import Seen, observed
from suasion.markov._files._source import FormatError, short, strict_json
from suasion.markov._mdp import MDP
from suasion.markov._pomdp import POMDP
from suasion.markov._question import Question

OWN = b"// suasion {"
UNNAMED = "__NOLABEL__"
_STATE = re.compile(rb"state\s+([0-9]{1,18})(?:\s+\{([0-9]{1,18})\})?(?:\s+\[([^\]]*)\])?(?:\s+(.*))?")
_LABEL = re.compile(rb'"([^"]+)"|([^\s"]+)')
_DIGITS = frozenset(b"0123456789")
_KINDS = ("MDP", "DTMC", "POMDP")


def read_drn(path: Path, rewards: str | None = None) -> tuple[MDP | POMDP, Question]:
    """Read a DRN file, compressed or not.

    Raises:
        FormatError: with the line.
    """
    lines = Lines(path)
    body = _Body(lines, _header(lines, rewards))
    body.read()
    return body.model()


class _Header:
    """What stands before `@model`."""

    def __init__(self) -> None:
        self.kind = ""
        self.states = -1
        self.rewards: list[str] = []
        self.reward: int | None = None
        self.own = Node({}, "")


def _header(lines: Lines, wanted: str | None) -> _Header:
    header = _Header()
    for line in lines:
        key, _, value = line.partition(b":")
        if line.startswith(OWN):
            place = f"{lines.path}: line {lines.number}"
            header.own = Node(strict_json(line[len(OWN) - 1 :], place), f"{place}: suasion")
        elif not line or line.startswith(b"//"):
            continue
        elif key == b"@type":
            header.kind = lines.text(value.strip())
            if header.kind not in _KINDS:
                raise lines.error(f"a model of type {short(header.kind)}; read are {', '.join(_KINDS)}")
        elif key == b"@value_type":
            if value.strip() != b"double":
                raise lines.error(f"values of type {short(lines.text(value.strip()))}; read is double")
        elif line == b"@parameters":
            if names := lines.next():
                raise lines.error(f"the parameters {short(lines.text(names))}: parametric models are not read")
        elif line == b"@reward_models":
            header.rewards = lines.text(lines.next()).split()
        elif line == b"@nr_states":
            header.states = lines.whole(lines.next())
        elif line == b"@nr_choices":
            lines.whole(lines.next())
        elif line == b"@model":
            break
        else:
            raise lines.error(f"{short(lines.text(line))} is not a part of the header that is read")
    else:
        raise lines.error("the file ends before @model")
    if not header.kind or header.states < 0:
        raise lines.error("@type or @nr_states is missing before @model")
    name = chosen(header.rewards, wanted, lines.path)
    header.reward = None if name is None else header.rewards.index(name)
    return header


class _Body:
    """States, actions and branches, one line after the other."""

    def __init__(self, lines: Lines, header: _Header) -> None:
        self.lines = lines
        self.header = header
        self.choices = array("q")  # of each state
        self.starts = array("q")  # first branch of each choice
        self.target = array("q")
        self.probability = array("d")
        self.reward = array("d")
        self.actions = Actions(names=header.own.get("actions", []).texts(), unnamed=UNNAMED)
        self.seen = array("q")
        self.labels: dict[str, array] = {name: array("q") for name in header.own.get("labels", []).texts()}
        self._base = 0.0
        self._due = 0  # branches when the state or action read last began

    def read(self) -> None:
        """All lines; most are branches."""
        states, target, probability = self.header.states, self.target, self.probability
        for line in self.lines:
            if not line:
                continue
            if line[0] in _DIGITS:
                to, _, held = line.partition(b":")
                try:
                    s, p = int(to), float(held)
                except ValueError:
                    s, p = self.lines.whole(to.strip()), self.lines.real(held.strip())
                if not (0 <= s < states and 0.0 <= p < math.inf) or b"_" in line:
                    raise self._bad_branch(line, s)
                target.append(s)
                probability.append(p)
            elif line.startswith(b"action"):
                self._action(line)
            elif line.startswith(b"state"):
                self._state(line)
            elif not line.startswith(b"//"):
                raise self.lines.error(f"{short(self.lines.text(line))} is no state, action or branch")
        self._close()
        if len(self.choices) != states:
            raise self.lines.error(f"the file ends after {len(self.choices)} of {states} states")

    def _bad_branch(self, line: bytes, s: int) -> FormatError:
        if not 0 <= s < self.header.states:
            return self.lines.error(f"leads to {s}: states are 0 to {self.header.states - 1}")
        return self.lines.error(f"{short(self.lines.text(line))}: not a probability")

    def _close(self) -> None:
        """Branches since the last state or action: some after an action, none after a state."""
        acts = bool(self.choices and self.choices[-1])
        if (len(self.target) > self._due) != acts:
            raise self.lines.error("the action before has no outcome" if acts else "branches without an action before")
        self._due = len(self.target)

    def _state(self, line: bytes) -> None:
        self._close()
        found = _STATE.fullmatch(line)
        if found is None:
            raise self.lines.error(f"{short(self.lines.text(line))} is not `state <id> [{{obs}}] [[rewards]] [labels]`")
        if int(found[1]) != len(self.choices):
            raise self.lines.error(f"state {int(found[1])} where state {len(self.choices)} comes")
        if (found[2] is None) == (self.header.kind == "POMDP"):
            raise self.lines.error(f"an observation is {'missing' if found[2] is None else 'out of place'}")
        if found[2] is not None:
            self.seen.append(int(found[2]))
        self._base = self._reward(found[3])
        if (found[4] or b"").count(b'"') % 2:
            raise self.lines.error(f"{short(self.lines.text(found[4]))}: a quote that does not end")
        for quoted, plain in _LABEL.findall(found[4] or b""):
            states = self.labels.setdefault(self.lines.text(quoted or plain), array("q"))
            if not states or states[-1] != len(self.choices):
                states.append(len(self.choices))
        self.choices.append(0)

    def _action(self, line: bytes) -> None:
        # Storm writes names with blanks as they are.
        name, rewards = line[len(b"action") :].strip(), None
        if name.endswith(b"]"):
            before, bracket, inside = name[:-1].rpartition(b"[")
            if bracket and before[-1:].isspace():
                name, rewards = before.rstrip(), inside
        if not (name and line[6:7].isspace() and self.choices):
            raise self.lines.error(f"{short(self.lines.text(line))} is not `action <name> [[rewards]]` of a state")
        self._close()
        try:
            self.actions.append(self.lines.text(name))
        except ValueError as error:
            raise self.lines.error(str(error)) from error
        own = self._reward(rewards)
        self.reward.append(self._base + own if self._base else own)
        self.choices[-1] += 1
        self.starts.append(len(self.target))

    def _reward(self, held: bytes | None) -> float:
        if held is None:
            return 0.0
        values = [value.strip() for value in held.split(b",")]
        if not self.header.rewards and len(values) == 1:  # Storm writes a reward model without a name as no name
            self.header.rewards, self.header.reward = [""], 0
        if len(values) != len(self.header.rewards):
            raise self.lines.error(f"{len(values)} rewards for {len(self.header.rewards)} reward models")
        return 0.0 if self.header.reward is None else self.lines.real(values[self.header.reward])

    def model(self) -> tuple[MDP | POMDP, Question]:
        """The model, checked as a whole."""
        own, path, count = self.header.own, self.lines.path, len(self.choices)
        parts = Parts(
            choice_start=offsets(np.array(self.choices, np.int64)),
            branch_start=np.append(np.array(self.starts, np.int64), len(self.target)),
            target=np.array(self.target, np.int32),
            probability=np.array(self.probability),
            choice_reward=np.array(self.reward),
            action=self.actions.indices(),
            states=own.get("states", []).texts(),
            actions=self.actions.names(),
            labels=marked(self.labels, count, path),
        )
        first = parts.labels.pop(INITIAL, None)
        if "initial" in own:
            parts.initial = _reals(own["initial"])
        else:
            set_initial(parts, first)
        model = assemble(parts, path)
        if self.header.kind != "POMDP":
            return model, question(own)
        seen = Seen(
            start=np.arange(count + 1),
            symbol=np.array(self.seen, np.int64),
            probability=None,
            symbols=own.get("symbols", max(self.seen, default=-1) + 1).whole(0, 10**18),
            actions=own.get("n_actions", 0).whole(0, 2**31 - 1),
        )
        if seen.symbols <= max(self.seen, default=-1):
            raise own["symbols"].error(f"more than {max(self.seen)}, which is an observation")
        return observed(model, seen, own.get("observations", []).texts(), path), question(own)


def _reals(node: Node) -> ndarray:
    if not isinstance(node.value, list) or not all(type(value) in (int, float) for value in node.value):
        raise node.error("a list of numbers")
    try:
        return np.array([float(value) for value in node.value])
    except OverflowError as error:
        raise node.error("a list of numbers from 0 to 1") from error
