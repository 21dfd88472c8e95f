"""What agents' messages are worth, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suasion.influence import Communication, Consistency, Coordination


def communication_table(found: Communication) -> str:
    """Speaker consistency and coordination beside their nulls, in all moments and in influential ones, as Markdown."""
    lines = [
        "| messages | value | null: mean; 95th percentile | p |\n",
        "| --- | ---: | ---: | ---: |\n",
    ]
    for where, talk in (("all moments", found.everywhere), ("influential moments", found.influential)):
        if talk is None:
            continue
        lines += [
            _line(f"speaker consistency, 0 to 1, {where}", talk.consistency),
            _line(f"message and another's next action, nats, {where}", talk.message_action),
            _line(f"action and another's next action, nats, {where}", talk.action_action),
        ]
    for number, speaker in enumerate(found.everywhere.consistency.speakers, 1):
        if speaker.reason:
            lines.append(f"\nConsistency of agent {number} is undefined: {speaker.reason}.\n")
        elif speaker.unseen_symbols:
            symbols = ", ".join(str(symbol) for symbol in speaker.unseen_symbols)
            lines.append(f"\nAgent {number} never says {symbols}.\n")
    return "".join(lines)


def _line(title: str, found: Consistency | Coordination) -> str:
    if found.value is None:
        return f"| {title} | undefined | | |\n"
    null = found.null
    told = "| |" if null is None else f"{null.null_mean:.3f}; {null.null_95:.3f} | {null.p_value:.3g} |"
    return f"| {title} | {found.value:.3f} | {told}\n"
