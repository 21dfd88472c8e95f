"""Worker: plays with the agents of a run and tells the means of what is measured, sampled and greedy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._measure import arguments, tell

if TYPE_CHECKING:
    from suasion.influence import Talk


def main() -> None:
    given = arguments(__doc__, "run", "episodes")
    from suasion.cli import prepare_environment

    prepare_environment()
    from suasion.runs import load_run, observe_run, on_the_clock

    run = load_run(Path(given.run))
    figures = {"rewards": dict(on_the_clock(run.config, run.learner.fired.tolist()).rewards)}
    for name, greedy in (("sampled", False), ("greedy", True)):
        seen = observe_run(run, episodes=int(given.episodes), seed=1000, greedy=greedy)
        figures[name] = {}
        for measure in seen.measures[0]:
            defined = [each[measure] for each in seen.measures if each[measure] is not None]
            figures[name][measure] = sum(defined) / len(defined) if defined else None
        if seen.communication is not None:
            figures[name] |= _talk(seen.communication.everywhere)
    tell(**figures)


def _talk(found: Talk) -> dict[str, float | None]:
    """Consistency and coordination with the 95th percentile of their nulls."""
    figures: dict[str, float | None] = {}
    for name in ("consistency", "message_action", "action_action"):
        one = getattr(found, name)
        figures[name] = one.value
        figures[f"{name}_null"] = None if one.null is None else one.null.null_95
    return figures


if __name__ == "__main__":
    main()
