"""`suasion sequence`: cores of sequence models side by side on a task: curves, a table, and what can be continued."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import Positional, arg, subcommand

if TYPE_CHECKING:
    from suasion._sequence_runs import Plan
    from suasion.sequence import Task

_LARGEST_TEXT = 2**28  # bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """What is compared, and how it is trained."""

    cores: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("mamba", "s4d", "diagonal", "lstm")
    """What to compare: mamba, s4d (which cannot choose), diagonal (minGRU), lstm."""
    seeds: int = 1
    """Runs of each core, of seeds SEED, SEED + 1, ..."""
    seed: int = 0
    """Of all chance; of the first run if there are several."""
    steps: int = 1000
    """Updates of each run."""
    batch: int = 32
    """Sequences in an update."""
    width: int = 32
    """Channels."""
    layers: int = 2
    """Blocks."""
    learning_rate: float = 5e-3
    """The greatest, of AdamW: it rises over the first twentieth of the updates, and falls to 0 by a cosine."""
    log_every: int = 50
    """Updates in one row of metrics."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: runs/sequence-TASK)")] = None
    """Where everything goes: runs in CORE/seed-N, curves and table beside them. An interrupted comparison goes on."""

    def plans(self, task: Task) -> list[Plan]:
        """A run for each core and seed."""
        from suasion._sequence_runs import Plan
        from suasion.sequence import Architecture, Recipe

        for name in ("seeds", "steps", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}, must be at least 1")
        if not self.checkpoint_seconds > 0:
            raise ValueError(f"--checkpoint-seconds is {self.checkpoint_seconds}, must be positive")
        if not 0 <= self.seed < 2**31 - self.seeds:
            raise ValueError(f"--seed is {self.seed}, must be at least 0, and below 2,147,483,648 with all seeds")
        if not self.cores:
            raise ValueError("--cores is empty: name one core at least")
        doubled = [name for place, name in enumerate(self.cores) if name in self.cores[:place]]
        if doubled:
            raise ValueError(f"--cores names {doubled[0]} more than once")
        recipe = Recipe(steps=self.steps, batch=self.batch, learning_rate=self.learning_rate, warmup=self.steps // 20)
        return [
            Plan(
                task=task,
                architecture=Architecture(core=core, width=self.width, layers=self.layers),
                recipe=recipe,
                seed=seed,
                log_every=self.log_every,
            )
            for core in self.cores
            for seed in range(self.seed, self.seed + self.seeds)
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectiveCopying:
    """Tell, in their order, the tokens that lay at random places among noise."""

    name: ClassVar[str] = "selective-copying"
    tokens: int = 8
    """Kinds of tokens."""
    copied: int = 4
    """Tokens in a sequence."""
    positions: int = 64
    """Places among which they lie."""
    training: Training = Training(learning_rate=0.01)

    def task(self) -> Task:
        """What is learned."""
        from suasion.sequence import SelectiveCopying

        return SelectiveCopying(tokens=self.tokens, copied=self.copied, positions=self.positions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Induction:
    """Tell what followed a mark when it occurred before."""

    name: ClassVar[str] = "induction"
    ordinary: int = 15
    """Kinds of symbols besides the mark."""
    length: int = 32
    """Steps of a sequence."""
    training: Training = Training(learning_rate=0.01)

    def task(self) -> Task:
        """What is learned."""
        from suasion.sequence import Induction

        return Induction(ordinary=self.ordinary, steps=self.length)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits:
    """Tell handwritten digits that are read pixel by pixel."""

    name: ClassVar[str] = "digits"
    file: Positional[Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: scikit-learn's)")]] = None
    """The pictures: lines of 64 numbers from 0 to 16 and the digit, such as digits.csv.gz of scikit-learn."""
    training: Training = Training()

    def task(self) -> Task:
        """What is learned."""
        from suasion.sequence import Digits

        return Digits.read(self.file)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """Learn to tell the next character of a text, then go on with it: samples.txt."""

    name: ClassVar[str] = "text"
    file: Positional[
        Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: Python's own help on its language)")]
    ] = None
    """A text in UTF-8; its last tenth is held out."""
    length: int = 128
    """Characters that are read at once."""
    characters: int = 400
    """Of each sample."""
    temperature: float = 0.8
    """Of the samples: 1 is what the model says, 0 takes the likeliest character always."""
    training: Training = Training(steps=1500, batch=16, width=64, log_every=100)

    def task(self) -> Task:
        """What is learned."""
        from suasion.sequence import Sampling, Text

        Sampling(temperature=self.temperature)  # refused before the training, not after it
        if self.characters < 0:
            raise ValueError(f"--characters is {self.characters}, below 0")
        if self.file is None:
            from pydoc_data import topics

            text = "\n".join(topics.topics[name] for name in sorted(topics.topics))
            return Text.of(text, window=self.length, name="Python's help")
        return Text.of(read_text(self.file), window=self.length, name=str(self.file))


Chosen = (
    Annotated[SelectiveCopying, subcommand(SelectiveCopying.name, prefix_name=False)]
    | Annotated[Induction, subcommand(Induction.name, prefix_name=False)]
    | Annotated[Digits, subcommand(Digits.name, prefix_name=False)]
    | Annotated[Text, subcommand(Text.name, prefix_name=False)]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sequence:
    """Train sequence models on a task and compare their cores: Mamba, which chooses what to keep, and others.

    An interrupted comparison goes on: give the same command again. More cores or seeds may join one that is done.
    """

    task: Chosen

    def run(self) -> int:
        """Train every core and seed, draw, print, keep."""
        from suasion._sequence_results import check_neighbours, write_results, write_samples
        from suasion._sequence_runs import train_all
        from suasion.runs import Progress, Stop

        chosen = self.task
        training = chosen.training
        task = chosen.task()
        plans = training.plans(task)
        out = training.out or Path("runs") / f"sequence-{chosen.name}"
        check_neighbours(out, plans)
        places = [(plan, out / plan.architecture.core / f"seed-{plan.seed}") for plan in plans]
        with Stop() as stop, Progress() as progress:
            done = train_all(places, checkpoint_seconds=training.checkpoint_seconds, watch=progress, stop=stop)
            if stop():
                complain("stopped; the same command goes on from there")
                return stop.exit_code
        for trained in done:
            for message in trained.rejected:
                complain(f"passed over: {message}")
        for path in write_results(out):
            print(path)
        if isinstance(chosen, Text) and chosen.characters:
            from suasion.sequence import Sampling

            print(write_samples(out, places, chosen.characters, Sampling(temperature=chosen.temperature)))
        return 0


def complain(message: str) -> None:
    """One line on the error stream."""
    import sys

    print(f"suasion: {message}", file=sys.stderr)


def read_text(path: Path) -> str:
    """The text of a file, line ends as they are.

    Raises:
        ValueError: it cannot be read, or is above 256 MiB, or no UTF-8; with the place.
    """
    from suasion.records import read_bounded

    content = read_bounded(path, _LARGEST_TEXT)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8: not a text") from error
