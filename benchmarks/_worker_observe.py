"""Worker: plays with the agents of a run and tells the means of what is measured, sampled and greedy."""

from __future__ import annotations

from pathlib import Path

from benchmarks._measure import arguments, tell


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
    tell(**figures)


if __name__ == "__main__":
    main()
