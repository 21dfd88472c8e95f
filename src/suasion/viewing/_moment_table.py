"""What another would have done in the most influential moment, as Markdown.

Letters of the shapes: c alternatives of agent k, a actions of agent j.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from suasion.records import Episode
from suasion.viewing._table import escaped

_MOST_ROWS = 64  # of alternatives; what was chosen is always among them


class _Moment(NamedTuple):
    """A recorded moment: its table, and where it stands."""

    nats: float
    number: int
    episode: Episode
    place: tuple[int, int, int, int]
    conditional: UInt8[np.ndarray, "c a"]
    marginal: UInt8[np.ndarray, " a"]


def moment_table(episodes: Sequence[Episode]) -> str | None:
    """A Markdown table of the most influential moment of which the episodes hold what could have been.

    A line for each action (or message) that agent k could have chosen, with the probabilities of what agent j does
    then; what k chose is marked. The last line is the marginal, and says over what it averages. Of more than 64
    alternatives the first 64 are shown, and the one that was chosen.

    Args:
        episodes: in any order; with influence, if they hold tables.

    Returns:
        A line of text and the table, ending with a line break; None if no episode has a table.
    """
    found = max(_moments(episodes), key=lambda moment: moment.nats, default=None)  # the first among equals
    return None if found is None else _table(found)


def _moments(episodes: Sequence[Episode]) -> Iterator[_Moment]:
    for number, episode in enumerate(episodes):
        tables = (episode.moments, episode.conditionals, episode.marginals)
        if episode.influence is None or any(array is None for array in tables):
            continue
        for moment, conditional, marginal in zip(*tables, strict=True):  # type: ignore[arg-type]
            t, k, j, then = (int(x) for x in moment)
            nats = float(episode.influence[t, k, j])
            yield _Moment(nats, number, episode, (t, k, j, then), conditional, marginal)


def _table(found: _Moment) -> str:
    episode, (t, k, j, then) = found.episode, found.place
    mine, other = escaped(episode.agents[k]), escaped(episode.agents[j])
    actions = [escaped(name) for name in episode.actions_names]
    if episode.varied == "message" and episode.messages is not None:
        verb, rows, did = "said", [str(symbol) for symbol in range(len(found.conditional))], episode.messages[t, k]
    else:
        verb, rows, did = "done", actions, episode.actions[t, k]
    shown = [c for c in range(len(rows)) if c < _MOST_ROWS or c == did]
    lines = [[f"had {mine} {verb}", *actions], ["---", *("---:" for _ in actions)]]
    lines += [[f"**{rows[c]}**" if c == did else rows[c], *_shares(found.conditional[c])] for c in shown]
    over = f"the policy of {mine} in its state" if episode.marginal == "policy" else "all steps of the episodes"
    lines.append([f"on average over {over}", *_shares(found.marginal)])
    return (
        f"Episode {found.number}, step {t}, {found.nats:.3g} nats: what {other} would do in step {then}. "
        f"{mine} had {verb} {rows[did]}; then {other} did {actions[episode.actions[then, j]]}.\n\n"
        + "".join("| " + " | ".join(line) + " |\n" for line in lines)
        + (f"\n{len(rows) - len(shown)} more are not shown.\n" if len(shown) < len(rows) else "")
    )


def _shares(row: UInt8[np.ndarray, " a"]) -> list[str]:
    return [f"{part / 255:.2f}" for part in row.tolist()]
