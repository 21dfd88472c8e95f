"""The `suasion` command.

Each subcommand is a frozen dataclass whose fields are its options and whose method `run` does the work; JAX is
imported only by those that compute. Exit codes: 0 done, 1 a failure while running, 2 input that cannot be, 75 stopped
by SIGTERM and 130 by Ctrl-C, both after a checkpoint.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from suasion import __version__
from suasion._communication_table import communication_table
from suasion._learn_command import Learn
from suasion._models import Convert, Solve
from suasion._pictures import make_folder
from suasion._report_command import Replay, Report
from suasion._reproduce_command import Reproduce
from suasion._schelling_command import SchellingCommand
from suasion._sequence_command import Sequence as SequenceTask
from suasion._statespace_command import Filter, FitModel, Forecast, Smooth
from suasion._study_command import Study
from suasion._watch_command import Watch

if TYPE_CHECKING:
    from suasion.runs import LoadedRun, RunConfig


class InputError(ValueError):
    """Options that do not go together."""


_PRESET = "(default: the preset's)"
_REPEAT = "(repeatable)"
Whole = Annotated[int | None, arg(metavar="N", help_behavior_hint=_PRESET)]
Number = Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint=_PRESET)]
Timetable = Annotated[str | None, arg(metavar="SCHEDULE", help_behavior_hint=_PRESET)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GameOptions:
    """What is played. Left out: as the rule book says for the game and its size."""

    size: Literal["small", "paper"] = "small"
    """Harvest and Cleanup: the small map, or that of the publications."""
    variant: Literal["paper", "ssd"] = "paper"
    """Harvest and Cleanup: rules as published, or as in the open implementation of 2019."""
    agents: Whole = None
    """How many play."""
    view: Whole = None
    """Side of the square that an agent sees, in cells; odd."""
    horizon: Whole = None
    """Steps of an episode."""
    option: Annotated[tuple[str, ...], arg(metavar="NAME=NUMBER"), UseAppendAction] = ()
    """Another number of the game, such as hit_cost=50."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What the agents think with."""

    core: Annotated[
        Literal["lstm", "gru", "diagonal", "s4d", "mamba", "none"] | None,
        arg(metavar="{lstm,gru,diagonal,s4d,mamba,none}", help_behavior_hint=_PRESET),
    ] = None
    """The agents' memory."""
    width: Whole = None
    """Units of the memory."""
    shared: bool = False
    """One network for all agents, rather than one each."""
    last_actions: Annotated[Literal["yes", "no"] | None, arg(metavar="{yes,no}", help_behavior_hint=_PRESET)] = None
    """Whether agents see what all did in the step before."""
    vocabulary: Whole = None
    """Symbols of a message that every agent sends in each step and all read in the next; 0 for no messages."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """How they learn."""

    algorithm: Annotated[Literal["a2c", "ppo"] | None, arg(metavar="{a2c,ppo}", help_behavior_hint=_PRESET)] = None
    """The learning rule."""
    steps: Whole = None
    """Environment steps to train for, over all games played at once."""
    environments: Whole = None
    """Games played at once."""
    rollout: Whole = None
    """Steps of each game between two updates."""
    learning_rate: Timetable = None
    """Of Adam."""
    entropy: Timetable = None
    """Weight of the entropy bonus, which keeps agents trying."""
    message_entropy: Timetable = None
    """Of messages: weight of their entropy bonus."""
    message_weight: Number = None
    """Of messages: weight of their loss beside that of actions."""
    discount: Number = None
    """What a reward one step later is worth, 0 to 1."""
    lambda_: Annotated[Number, arg(name="lambda")] = None
    """Of lambda-returns, 0 to 1: 0 trusts the value estimates, 1 the rewards alone."""
    epochs: Whole = None
    """PPO: passes over what was played."""
    minibatches: Whole = None
    """PPO: gradient steps in a pass."""
    chunk: Whole = None
    """Games whose activations are held at once, 0 for all: a matter of speed and memory."""
    shards: Whole = None
    """Devices over which the games are spread."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfluenceOptions:
    """Rewards for influencing others; their weight is that of --reward influence=SCHEDULE. Agents count from 0."""

    influence: Annotated[
        Literal["basic", "communication", "model", "simulator"] | None,
        arg(metavar="{basic,communication,model,simulator}", help_behavior_hint="(default: none)"),
    ] = None
    """How it is known what others would have done: `basic`: they see influencers act first; `communication`: they
    read messages, and messages are paid; `model`: every agent learns a model of the others; `simulator`: the game is
    played again for every action."""
    divergence: Annotated[
        Literal["kl", "jsd", "pmi"] | None, arg(metavar="{kl,jsd,pmi}", help_behavior_hint=_PRESET)
    ] = None
    """How far what others do lies from what they would do on average."""
    influencers: Annotated[str | None, arg(metavar="I,J,...", help_behavior_hint=_PRESET)] = None
    """Agents whose influence counts."""
    influenced: Annotated[str | None, arg(metavar="I,J,...", help_behavior_hint=_PRESET)] = None
    """Agents on whom it counts."""
    visible_only: bool = False
    """Count influence only on agents in view."""
    to_influenced: bool = False
    """Pay agents the influence of others on them as well."""
    samples: Whole = None
    """Counterfactual symbols to draw; 0 for an exact sum over all."""
    marginal: Annotated[
        Literal["policy", "average"] | None, arg(metavar="{policy,average}", help_behavior_hint=_PRESET)
    ] = None
    """With what an influencer's choice is compared: what its policy would have chosen in its state, or chooses on
    average."""
    negative: bool = False
    """Allow negative weights: agents are paid for not influencing."""
    model_encoder: Annotated[
        Literal["shared", "convolution", "classes"] | None,
        arg(metavar="{shared,convolution,classes}", help_behavior_hint=_PRESET),
    ] = None
    """Model of others: it reads the policy's features, or has an encoder of its own."""
    model_width: Whole = None
    """Model of others: units of its memory."""
    model_rate: Timetable = None
    """Model of others: learning rate."""
    model_visible_only: bool = False
    """Model of others: learn only from agents in view."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train agents in a game. An interrupted run goes on: give the same command again.

    Most options come from the game's preset; `--show` prints them all. A SCHEDULE is a number, or numbers at
    environment steps with straight lines between them: 0.001@0,0.0001@500000.
    """

    game: Positional[Annotated[str, arg(metavar="GAME")]]
    """A name (`suasion games` lists them), or the file of a map or of a payoff table."""
    reward: Annotated[tuple[str, ...], arg(metavar="NAME=SCHEDULE"), UseAppendAction] = ()
    """What agents are paid: extrinsic=1 (the own reward; if left out), shared=1 (the mean of all), or, with
    --influence, influence=10; several add up. Rewards that look at others: inequity, prosocial, orientation, exchange,
    with parameters "inequity(envy=5)=1" (quote them). Of messages alone extrinsic-message, of actions alone
    extrinsic-action. One weight for each agent: extrinsic=1/1/0. A weight that waits:
    when(METRIC>=NUMBER,UPDATES):0@0,1@0, or no longer than a step: when(METRIC>=NUMBER,UPDATES,STEP):0@0,1@0."""
    seed: int = 0
    """Of all chance; of the first run if there are several."""
    seeds: int = 1
    """How many runs, of seeds SEED, SEED + 1, ..."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: runs/GAME-SIZE-REWARD)")] = None
    """Where the runs go, each in its own folder seed-N."""
    log_every: Whole = None
    """Updates in one row of metrics."""
    checkpoint_seconds: float = 30.0
    """Seconds between checkpoints."""
    show: bool = False
    """Print the configuration as JSON and stop."""
    rules: GameOptions = GameOptions()
    network: NetworkOptions = NetworkOptions()
    learning: LearningOptions = LearningOptions()
    social: InfluenceOptions = InfluenceOptions()

    def run(self) -> int:
        """Train every seed in turn."""
        from suasion import runs

        if self.seeds < 1:
            raise InputError(f"--seeds is {self.seeds}, must be at least 1")
        if not self.checkpoint_seconds > 0:
            raise InputError(f"--checkpoint-seconds is {self.checkpoint_seconds}, must be positive")
        configs = [self.configuration(seed) for seed in range(self.seed, self.seed + self.seeds)]
        if self.show:
            print(json.dumps(configs[0].to_json(), indent=2))
            return 0
        out = self.out or Path("runs") / configs[0].slug
        with runs.Stop() as stop, runs.Progress() as progress:
            for config in configs:
                trained = runs.train(
                    config,
                    out / f"seed-{config.seed}",
                    checkpoint_seconds=self.checkpoint_seconds,
                    watch=progress,
                    stop=stop,
                )
                for message in trained.rejected:
                    complain(f"passed over: {message}")
                if stop():
                    complain(f"stopped at step {trained.step:,}; the same command goes on from there")
                    return stop.exit_code
        print(f"{out}: next, `suasion plot {out}` and `suasion render {out / f'seed-{self.seed}'}`")
        return 0

    def configuration(self, seed: int) -> RunConfig:
        """The configuration of one seed: the preset with what was given."""
        from suasion.runs import configure

        rules, network, learning, social = self.rules, self.network, self.learning, self.social
        influence = _given(
            mode=social.influence,
            divergence=social.divergence,
            influencers=_agents("influencers", social.influencers),
            influenced=_agents("influenced", social.influenced),
            visible_only=social.visible_only or None,
            to_influenced=social.to_influenced or None,
            samples=social.samples,
            marginal=social.marginal,
            negative=social.negative or None,
        )
        if influence and social.influence is None:
            raise InputError(f"{', '.join(influence)}: what for? --influence says how influence is measured")
        return configure(
            self.game,
            size=rules.size,
            variant=rules.variant,
            agents=rules.agents,
            view=rules.view,
            horizon=rules.horizon,
            options=_numbers(rules.option),
            rewards=self.reward,
            steps=learning.steps,
            log_every=self.log_every,
            seed=seed,
            influence=influence or None,
            model=_given(
                encoder=social.model_encoder,
                width=social.model_width,
                learning_rate=social.model_rate,
                visible_only=social.model_visible_only or None,
            ),
            policy=_given(
                core=network.core,
                width=network.width,
                shared=network.shared or None,
                last_actions=None if network.last_actions is None else network.last_actions == "yes",
                vocabulary=network.vocabulary,
            ),
            learner=_given(
                algorithm=learning.algorithm,
                environments=learning.environments,
                steps=learning.rollout,
                entropy_weight=learning.entropy,
                message_entropy_weight=learning.message_entropy,
                message_weight=learning.message_weight,
                discount=learning.discount,
                lambda_=learning.lambda_,
                epochs=learning.epochs,
                minibatches=learning.minibatches,
                chunk=learning.chunk,
                shards=learning.shards,
            ),
            optimiser=_given(learning_rate=learning.learning_rate),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the learning curves of runs: the mean over seeds with its 95 % interval, and each seed as a thin line; or,
    with --matrix, who influences whom, from the episodes that `suasion influence` has recorded."""

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN")]]
    """Folders of runs, or folders of such folders; runs that differ only in their seed make one curve."""
    out: Annotated[Path, arg(metavar="FOLDER|FILE")] = Path()
    """Where curves (or influence) go, as PNG, SVG and PDF; or one file that ends in .png, .svg or .pdf."""
    metric: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint=_REPEAT), UseAppendAction] = ()
    """What to draw, such as episode/return or action/entropy[0]; episodes and rewards if left out."""
    smooth: Annotated[int, arg(metavar="N")] = 10
    """Each point is the mean of the last N."""
    matrix: Annotated[
        Literal["influence", "simulated"] | None,
        arg(metavar="{influence,simulated}", help_behavior_hint="(default: curves)"),
    ] = None
    """Who influences whom, in nats a step: as the runs' own reward sees it, or exactly, every step played again."""
    width: Annotated[float | None, arg(metavar="INCHES", help_behavior_hint="(default: by what is drawn)")] = None
    """Of the figure; 3.3 is a column of a paper."""

    def run(self) -> int:
        """Draw them."""
        from suasion.viewing import plot_influence, plot_runs

        if not self.runs:
            raise InputError("no run given: name at least one folder")
        if self.width is not None and not 1.5 <= self.width <= 40:
            raise InputError(f"--width is {self.width}, must be 1.5 to 40 inches")
        if self.matrix is not None and self.metric:
            raise InputError("--metric and --matrix: one of the two")
        make_folder(self.out)
        if self.matrix is not None:
            paths = plot_influence(self.runs, self.out, kind=self.matrix, width=self.width)
        else:
            paths = plot_runs(self.runs, self.out, self.metric or None, smooth=self.smooth, width=self.width)
        for path in paths:
            print(path)
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Render:
    """Play episodes with the agents of a run and draw them as a film: the whole map beside each agent's view."""

    folder: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of a run; its newest checkpoint plays."""
    episodes: int = 1
    """How many."""
    seed: int = 0
    """Of all chance in them."""
    greedy: bool = False
    """Take the most probable actions instead of drawing them."""
    to: Literal["gif", "apng", "mp4"] | None = None
    """Kind of film (default: by the ending of --out, else gif); mp4 needs the extra `video`."""
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: RUN/episodes)")] = None
    """The folder of the films, or for one episode a file that ends in .gif, .png or .mp4; the episodes themselves are
    kept in the run."""
    scale: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: by the map's size)")] = None
    """Pixels a cell of the map."""
    fps: int = 10
    """Frames a second, 1 to 100, of a GIF to 50."""
    every: int = 1
    """Draw each so-manieth step."""

    def run(self) -> int:
        """Play, keep and draw them."""
        from suasion.runs import observe_run, play_run, write_episodes
        from suasion.viewing import write_apng, write_gif, write_mp4

        kind, file = self._kind()
        write = {"gif": write_gif, "apng": write_apng, "mp4": write_mp4}[kind]
        ending = "png" if kind == "apng" else kind
        run = _opened(self.folder)
        # Where agents are paid for influence it is part of the picture.
        play = play_run if run.config.influence is None else lambda run, **how: observe_run(run, **how).episodes
        episodes = play(run, episodes=self.episodes, seed=self.seed, greedy=self.greedy)
        for episode, path in zip(episodes, write_episodes(run, episodes), strict=True):
            target = file or (self.out or path.parent) / f"{path.stem}.{ending}"
            target.parent.mkdir(parents=True, exist_ok=True)
            film = write(episode, target, fps=self.fps, scale=self.scale, every=self.every)
            print(f"{film}  reward {episode.rewards.sum():.1f}")
        return 0

    def _kind(self) -> tuple[str, Path | None]:
        """The kind of film, and its file if --out names one."""
        endings = {".gif": "gif", ".png": "apng", ".apng": "apng", ".mp4": "mp4"}
        kind = endings.get(self.out.suffix.lower()) if self.out else None
        if kind is None or self.out is None or self.out.is_dir():
            return self.to or "gif", None
        if self.to not in (None, kind):
            raise InputError(f"--to {self.to} and --out {self.out} name different kinds of film")
        if self.episodes != 1:
            raise InputError(f"--out {self.out} is one file, for {self.episodes} episodes: name a folder")
        return kind, self.out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Influence:
    """Say who influenced whom: play episodes with the agents of a run and measure it, in nats.

    Influence is measured as the run's own reward sees it, where it has one, and exactly, by playing every step again
    for every action. The episodes are kept in the run, with the influence of every agent on every other in each step,
    and what the others would have done in the 100 most influential moments, for each action of the influencer (or each
    message, if influence is by messages); the most influential one is printed.
    """

    folder: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of a run; its newest checkpoint plays."""
    episodes: int = 32
    """How many."""
    seed: int = 0
    """Of all chance in them."""
    greedy: bool = False
    """Take the most probable actions instead of drawing them."""
    all_counterfactuals: bool = False
    """Also keep what the others would have done in all moments: a file beside the record of each episode."""
    force: bool = False
    """Replace such files."""
    picture: Annotated[Path | None, arg(metavar="FILE")] = None
    """Draw who influences whom, as a matrix: PNG, SVG or PDF by the ending."""

    def run(self) -> int:
        """Play, measure, keep, draw, and print a table."""
        from suasion.records import write_whole
        from suasion.runs import observe_run, write_episodes
        from suasion.viewing import check_picture, measures_table, moment_table

        if self.picture is not None:
            check_picture(self.picture)
        run = _opened(self.folder)
        seen = observe_run(
            run,
            episodes=self.episodes,
            seed=self.seed,
            greedy=self.greedy,
            counterfactuals=self.all_counterfactuals,
            force=self.force,
        )
        write_episodes(run, seen.episodes)
        table = measures_table(seen.measures, seen.titles)
        if seen.communication is not None:
            table += "\n" + communication_table(seen.communication)
        if (moment := moment_table(seen.episodes)) is not None:
            table += "\n" + moment
        path = run.path / ("influence-greedy.md" if self.greedy else "influence.md")
        write_whole(path, [table.encode()])
        print(table)
        print(path)
        if self.picture is not None:
            from suasion.viewing import influence_figure, influence_of, save_figure

            figure = influence_figure({run.config.label: influence_of([seen.episodes])}, seen.episodes[0].agents)
            print(save_figure(figure, self.picture))
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Play episodes with what a run has learned and estimate the measures of its society, with 95 % intervals.

    With --agents, agents of several runs of one game play together, each with its own network, and scripted ones:
    suasion evaluate --agents runs/a:0 runs/b:0 script:forager --out together
    """

    folder: Positional[Annotated[Path | None, arg(metavar="RUN")]] = None
    """Folder of a run; its newest checkpoint plays."""
    agents: Annotated[tuple[str, ...], arg(metavar="RUN:AGENT|script:NAME ...")] = ()
    """Instead of a run: for each place in the game a run and which of its agents, counted from 0; or a script: forager
    (Harvest, Cleanup), sustainable (Harvest), cleaner or harvester (Cleanup), random, or the name of an action."""
    episodes: int = 100
    """How many."""
    seed: int = 0
    """Of all chance in them, and of the bootstrap."""
    greedy: bool = False
    """Take the most probable actions instead of drawing them."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the run's)")] = None
    """Where the table and the episodes go."""

    def run(self) -> int:
        """Play, estimate, keep, and print a table."""
        from suasion.records import write_whole
        from suasion.runs import evaluate_run, write_episodes
        from suasion.viewing import estimates_table

        run = self._players()
        found = evaluate_run(run, episodes=self.episodes, seed=self.seed, greedy=self.greedy)
        out = self.out or run.path
        (out / "episodes").mkdir(parents=True, exist_ok=True)
        write_episodes(dataclasses.replace(run, path=out), found.episodes)
        rows = []
        for one in found.estimates:
            title = one.measure if one.agent is None else f"{one.measure}, agent {one.agent + 1}"
            rows.append((title, one.mean, one.low, one.high, one.defined, one.reason))
        table = estimates_table(rows, len(found.episodes))
        path = out / ("evaluation-greedy.md" if self.greedy else "evaluation.md")
        write_whole(path, [table.encode()])
        print(table)
        print(path)
        return 0

    def _players(self) -> LoadedRun:
        from suasion.runs import cast

        if (self.folder is None) == (not self.agents):
            raise InputError("name a run, or agents of runs with --agents; one of the two")
        if self.folder is not None:
            return _opened(self.folder)
        if self.out is None:
            raise InputError("--agents needs --out: what several runs did together belongs to none of them")
        opened: dict[str, LoadedRun] = {}
        places: list[tuple[LoadedRun, int] | str] = []
        for text in self.agents:
            if text.startswith("script:"):
                places.append(text.removeprefix("script:"))
                continue
            name, _, number = text.rpartition(":")
            if not name or not number.isdecimal():
                raise InputError(f"--agents {text}: write RUN:AGENT, such as runs/a/seed-0:1, or script:NAME")
            if name not in opened:
                opened[name] = _opened(Path(name))
            places.append((opened[name], int(number)))
        return cast(places)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runs:
    """List the runs in a folder: how far they are, what they were paid last, and how old they are."""

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]] = Path("runs")
    """A folder with runs in it, at most four folders deep."""

    def run(self) -> int:
        """Print a table."""
        from rich.console import Console
        from rich.table import Table

        from suasion.records import find_runs

        table = Table(box=None, pad_edge=False)
        for column in ("run", "state", "step", "of", "reward an episode", "age"):
            table.add_column(column, justify="left" if column in ("run", "state") else "right")
        for path in find_runs(self.folder):
            table.add_row(str(path.relative_to(self.folder)), *_told(path))
        Console(width=None if sys.stdout.isatty() else 160).print(table)
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run's metrics for other tools."""

    folder: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of a run."""
    to: Literal["csv", "parquet", "tensorboard"] = "csv"
    """parquet and tensorboard need the extras of these names."""
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: in the run)")] = None
    """The file; for tensorboard a folder."""

    def run(self) -> int:
        """Write it."""
        from suasion.records import export_csv, export_parquet, export_tensorboard

        run = _single_run(self.folder)
        verbs = {"csv": export_csv, "parquet": export_parquet, "tensorboard": export_tensorboard}
        names = {"csv": "metrics.csv", "parquet": "metrics.parquet", "tensorboard": "tensorboard"}
        print(verbs[self.to](run, self.out or run / names[self.to]))
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Games:
    """List the games that agents can be trained in."""

    def run(self) -> int:
        """Print a table."""
        from rich.console import Console
        from rich.table import Table

        from suasion.games import catalogue, make
        from suasion.runs import SIZED

        table = Table(box=None, pad_edge=False)
        for column in ("game", "size", "agents", "actions", "map", "view", "steps", "what it is"):
            table.add_column(column, justify="left" if column in ("game", "size", "what it is") else "right")
        for name, meaning in catalogue().items():
            for size in ("small", "paper") if name in SIZED else ("small",):
                spec = make(name, size=size).spec
                area, view = (f"{rows}x{columns}" for rows, columns in (spec.board, spec.view))
                numbers = (str(spec.agents), str(len(spec.actions)), area, view, str(spec.horizon))
                table.add_row(name, size if name in SIZED else "", *numbers, meaning)
        Console(width=None if sys.stdout.isatty() else 140).print(table)
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo:
    """Train small Harvest with selfish and with shared reward, and Box Trapped with and without a reward for
    influence, and draw what happened."""

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("demo")
    """Where everything goes: pictures, films, tables and the runs."""
    seeds: int = 1
    """Runs of each kind, of seeds 0, 1, ..."""
    steps: Whole = None
    """Environment steps of each run."""
    episodes: int = 32
    """Of the evaluation of each run."""

    def run(self) -> int:
        """Train, play, draw, and say what is to be seen."""
        from suasion._demo import demonstrate
        from suasion.runs import Progress, Stop

        for name in ("seeds", "episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}, must be at least 1")
        with Stop() as stop, Progress() as progress:
            told = demonstrate(
                self.out, seeds=self.seeds, steps=self.steps, episodes=self.episodes, watch=progress, stop=stop
            )
        if told is None:
            complain("stopped; the same command goes on")
            return stop.exit_code
        for path in told.files:
            print(path)
        for sentence in told.sentences:
            print(sentence)
        return 0


COMMANDS: dict[str, Any] = {
    "solve": Solve,
    "learn": Learn,
    "convert": Convert,
    "filter": Filter,
    "smooth": Smooth,
    "fit": FitModel,
    "forecast": Forecast,
    "train": Train,
    "plot": Plot,
    "render": Render,
    "report": Report,
    "reproduce": Reproduce,
    "replay": Replay,
    "watch": Watch,
    "influence": Influence,
    "evaluate": Evaluate,
    "runs": Runs,
    "export": Export,
    "games": Games,
    "schelling": SchellingCommand,
    "sequence": SequenceTask,
    "demo": Demo,
    "study": Study,
}


def _told(path: Path) -> tuple[str, ...]:
    """A line of `suasion runs` without the name; why a run cannot be read goes to the error stream."""
    from suasion.records import RecordError, RunPaths, is_held, read_run

    try:
        run = read_run(path)
    except RecordError as error:
        complain(str(error))
        return "damaged", "", "", "", ""
    step = max((int(row["step"]) for row in run.metrics[-1:]), default=0)
    steps = run.config.get("steps")
    finished = isinstance(steps, int) and step >= steps
    state = "running" if is_held(path) else "done" if finished else "stopped"
    returns = run.metrics[-1].get("episode/returns") if run.metrics else None
    paid = f"{sum(returns):.1f} ({', '.join(f'{x:.1f}' for x in returns)})" if returns and None not in returns else ""
    newest = max(file.stat().st_mtime for file in (RunPaths(path).metrics, RunPaths(path).config) if file.exists())
    return (
        state,
        f"{step:,}",
        f"{steps:,}" if isinstance(steps, int) else "",
        paid,
        _age(time.time() - newest),
    )


def _age(seconds: float) -> str:
    """Seconds in words."""
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(seconds, 0):.0f} s"


def _opened(folder: Path) -> LoadedRun:
    """The one run in a folder, ready to play; damaged checkpoints that were passed over are named."""
    from suasion.runs import load_run

    run = load_run(_single_run(folder))
    for message in run.rejected:
        complain(f"passed over: {message}")
    return run


def _single_run(folder: Path) -> Path:
    """The one run in a folder."""
    from suasion.records import find_runs

    found = find_runs(folder)
    if len(found) > 1:
        raise InputError(f"{folder} holds {len(found)} runs; name one, such as {found[0]}")
    return found[0]


def _agents(option: str, text: str | None) -> tuple[int, ...] | None:
    """Numbers between commas."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--{option} {text}: write agents' numbers, such as 0,2") from None


def _given(**options: Any) -> dict[str, Any]:
    """The options that were not left out."""
    return {name: value for name, value in options.items() if value is not None}


def _numbers(texts: Sequence[str]) -> dict[str, float]:
    """NAME=NUMBER each."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name in found:
            raise InputError(f"--option {name} is given more than once")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"--option {text}: write NAME=NUMBER, such as hit_cost=50") from None
    return found


def prepare_environment() -> None:
    """Settings that are read when JAX is imported; what the user has set stays.

    The compilation cache is kept between runs. On a CPU every core becomes a device of its own, and an operation runs
    on one thread: environments are spread over the devices (`LearnerConfig.shards`), which keeps the cores busy where
    operations too small to share would not.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "suasion" / "jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    devices = max(2, os.cpu_count() or 1)
    flags = f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
    os.environ.setdefault("XLA_FLAGS", flags)
    keep_memory()


def keep_memory() -> None:
    """Tell the C library to keep freed memory for the next update instead of returning it.

    An update allocates the same large arrays again and again; given back, their pages are cleared by the kernel every
    time, a quarter of an update's time. Only the GNU C library has this; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # names in malloc.h
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)
    mallopt(top_pad, 1 << 28)


def complain(message: str) -> None:
    """One line on the error stream."""
    print(f"suasion: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code.

    Args:
        arguments: without the program's name; those of the process if not given.
    """
    prepare_environment()
    # Tracing makes millions of small objects that live on: looking through them again and again for garbage takes a
    # second of every start.
    gc.set_threshold(200_000, 20, 100)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"suasion {__version__}")
        return 0
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        from suasion.records import nearest

        complain(f"unknown command {given[0]!r}{nearest(given[0], COMMANDS)}; commands are {', '.join(COMMANDS)}")
        return 2
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="suasion",
        description=DESCRIPTION,
        args=given,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    try:
        return command.run()
    except KeyboardInterrupt:
        complain("stopped at once")
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("SUASION_DEBUG") == "1":
            traceback.print_exc()
        complain(str(error))
        return 2 if isinstance(error, ValueError) else 1


DESCRIPTION = "Agents that learn among agents: games, training, pictures. `suasion COMMAND --help` explains a command."

if __name__ == "__main__":
    sys.exit(main())
