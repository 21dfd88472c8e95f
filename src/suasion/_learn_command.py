"""`suasion learn`: rules that learn from experience, side by side, and what they tend to. It never imports JAX."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from suasion._learn_pictures import draw_curves, draw_policies, write_animation
from suasion._learn_results import Played, curves, play, print_table, write_results
from suasion._learn_rules import exploration_of, rule_of
from suasion._learn_values import FirstValues, Limits, limits_of
from suasion._models import _FILES, Loaded, _grid, load
from suasion._pictures import check_width

_POINTS = 20  # checkpoints, if they are not given
_KEPT = 1 << 25  # numbers in the tables of all runs and checkpoints, if these are not given
_EPISODES = 500
_KINDS = ("png", "svg", "pdf")
_DRAWN = tuple(f"{name}.{kind}" for name in ("learning", "values") for kind in _KINDS)
_WRITTEN = (*_DRAWN, "learning.gif", "result.npz", "result.csv")
_RULE = "(default: the rule's)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learn:
    """Learn by trial: rules side by side, many runs each, beside the exact values that they tend to.

    The model is a Gymnasium environment with discrete spaces, such as CliffWalking-v1, or a file (UMB, DRN, PRISM
    explicit, Cassandra, npz). Models, and environments that have a table `P`, are played by compiled code, and the
    greedy policies that were learned are evaluated exactly. A SCHEDULE is a number, polynomial:EXPONENT (n to the power
    of -EXPONENT) or linear:FIRST:LAST:OVER.
    """

    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """A file, or the name of an environment."""
    algorithms: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("sarsa", "q-learning")
    """The rules, such as sarsa, expected-sarsa, q-learning; with numbers of their own: n-step-sarsa:n=8,step-size=0.2.
    An unknown one lists all."""
    runs: int = 100
    """Independent runs of each rule."""
    episodes: Annotated[int | None, arg(metavar="N", help_behavior_hint=f"(default: {_EPISODES})")] = None
    """Of each run."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Of each run, in place of --episodes."""
    discount: Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint="(default: the file's, or 1)")] = None
    """Worth of a reward one step later, 0 to 1."""
    step_size: Annotated[str | None, arg(metavar="SCHEDULE", help_behavior_hint=_RULE)] = None
    """How far a value moves towards its target, above 0 to 1."""
    epsilon: Annotated[str | None, arg(metavar="SCHEDULE", help_behavior_hint=_RULE)] = None
    """Probability of any action instead of a best one."""
    temperature: Annotated[str | None, arg(metavar="SCHEDULE")] = None
    """Explore by softmax instead, at this temperature in reward units."""
    ucb: Annotated[float | None, arg(metavar="NUMBER")] = None
    """Explore by upper confidence bounds of this width instead, in reward units."""
    ties: Literal["uniform", "first"] = "uniform"
    """Which of equal best actions is taken: any, or the first."""
    start: float = 0.0
    """First values, in reward units; high ones explore by themselves."""
    time_limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the environment's)")] = None
    """Steps after which an episode is cut off; 0 for never."""
    seed: int = 0
    """Of all chance."""
    checkpoints: Annotated[int | None, arg(metavar="N", help_behavior_hint=f"(default: {_POINTS}, or fewer)")] = None
    """How often policies are looked at."""
    grid: Annotated[str | None, arg(metavar="ROWSxCOLUMNS")] = None
    """Draw the states as a grid, row by row."""
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where the pictures learning and values go, as PNG, SVG and PDF, and result.npz and result.csv."""
    animate: bool = False
    """Draw how policies change too, as learning.gif."""
    width: Annotated[float | None, arg(metavar="INCHES", help_behavior_hint="(default: 4.8 a panel)")] = None
    """Of the pictures; 3.3 is a column of a paper."""
    force: bool = False
    """Write over what is there."""

    def run(self) -> int:
        """Learn, print, keep, draw."""
        rules = self._rules()
        world = self._world()
        self._check(world)
        limits = None if world.loaded is None else limits_of(world.loaded.mdp, world.discount, _epsilon(rules))
        results = self._learn(world, rules)
        print_table(results, limits)
        for sentence in _told(world, rules, results, limits):
            print(sentence)
        for path in self._keep(world, results, limits):
            print(path)
        return 0

    def _rules(self) -> dict[str, Any]:
        """The rules by name."""
        if not self.algorithms:
            raise ValueError("--algorithms is empty: name one rule at least")
        exploration = exploration_of(self.epsilon, self.temperature, self.ucb, self.ties)
        doubled = [name for place, name in enumerate(self.algorithms) if name in self.algorithms[:place]]
        if doubled:
            raise ValueError(f"--algorithms names {doubled[0]} more than once")
        return {name: rule_of(name, self.step_size, exploration) for name in self.algorithms}

    def _world(self) -> World:
        """What is played."""
        loaded, make, limit = _opened(self.model)
        if self.grid is not None:
            if loaded is None:
                raise ValueError(f"--grid does not go with {self.model}, which has no table P: no state is drawn")
            loaded = dataclasses.replace(loaded, grid=_grid(self.grid, loaded.mdp))
        discount = self.discount
        if discount is None:
            discount = 1.0 if loaded is None or loaded.question.discount is None else loaded.question.discount
        if loaded is not None and not loaded.question.maximise:
            raise ValueError(f"{self.model} calls its rewards costs: learners make rewards great")
        if self.time_limit is not None:
            limit = self.time_limit or None
        return World(name=self.model, loaded=loaded, make=make, discount=discount, time_limit=limit)

    def _check(self, world: World) -> None:
        """Refuse what would fail, or be lost, after the learning."""
        self._length()
        if self.runs < 1:
            raise ValueError(f"--runs is {self.runs}, below 1")
        check_width(self.width)
        if self.checkpoints is not None and self.checkpoints < 1:
            raise ValueError(f"--checkpoints is {self.checkpoints}, below 1")
        if self.animate and (self.out is None or world.loaded is None or world.loaded.grid is None):
            raise ValueError("--animate needs --out, and --grid where the states do not lie on one by themselves")
        if self.out is not None:
            from suasion.records import refuse

            for name in _WRITTEN:
                refuse(self.out / name, force=self.force)
        if world.discount == 1 and world.loaded is not None and not world.loaded.mdp.terminal.any():
            raise ValueError(f"{self.model} has no end: without a --discount below 1 its values are infinite")

    def _length(self) -> tuple[str, int]:
        """Steps or episodes of a run."""
        if self.steps is not None and self.episodes is not None:
            raise ValueError(f"--steps is {self.steps} and --episodes is {self.episodes}: give one of them")
        unit, length = ("episodes", self.episodes) if self.steps is None else ("steps", self.steps)
        length = _EPISODES if length is None else length
        if length < 1:
            raise ValueError(f"--{unit} is {length}, below 1")
        return unit, length

    def _learn(self, world: World, rules: Mapping[str, Any]) -> dict[str, Played]:
        unit, length = self._length()
        size = 1 if world.loaded is None else world.loaded.mdp.n_choices
        points = self.checkpoints or int(np.clip(_KEPT // (self.runs * size), 2, _POINTS))
        at = np.unique(np.rint(np.linspace(0, length, points + 1)[1:]).astype(np.int64))
        worth = None if world.loaded is None else FirstValues(world.loaded.mdp, world.discount)
        budget = {unit: length, "runs": self.runs, "seed": self.seed, "start": self.start, "checkpoints": at}
        budget |= {"discount": world.discount, "time_limit": world.time_limit}
        results = {}
        with _progress(len(rules)) as told:
            for name, rule in rules.items():
                results[name] = play(world.played, rule, budget, worth, told(name))
        return results

    def _keep(self, world: World, results: Mapping[str, Played], limits: Limits | None) -> list[Path]:
        if self.out is None:
            return []
        from suasion.viewing import save_pictures

        self.out.mkdir(parents=True, exist_ok=True)
        found = curves(results)
        unit = next(iter(results.values())).found.unit
        figure = draw_curves(f"{self.model}, {self.runs} runs", unit, found, limits, self.width)
        paths = save_pictures(figure, self.out, "learning")
        if world.loaded is not None and limits is not None:
            figure = draw_policies(self.model, world.loaded, results, limits, self.width)
            paths += save_pictures(figure, self.out, "values")
            if self.animate:
                paths.append(write_animation(self.model, world.loaded, results, self.out / "learning.gif"))
        return paths + write_results(self.out, results, found, limits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What is played, and the question.

    Attributes:
        name: as it was given.
        loaded: the model, if there is one.
        make: a function that makes the environment, if there is none.
        discount: of the question.
        time_limit: steps after which an episode is cut off, or None.
    """

    name: str
    loaded: Loaded | None
    make: Callable[[], Any] | None
    discount: float
    time_limit: int | None

    @property
    def played(self) -> Any:
        """The first argument of `suasion.td.learn`."""
        return self.make if self.loaded is None else self.loaded.mdp


def _opened(name: str) -> tuple[Loaded | None, Callable[[], Any] | None, int | None]:
    """A model, or a function that makes the environment, and after how many steps its episodes are cut off."""
    path = Path(name)
    if path.exists() or path.suffix.lower() in _FILES:
        return load(name), None, None
    try:
        import gymnasium

        env = gymnasium.make(name)
    except ImportError as error:
        raise ValueError(f"{name}: no such file, and {error}") from error
    except gymnasium.error.Error as error:
        raise ValueError(f"{name}: no such file, and no environment of Gymnasium: {error}") from error
    if getattr(env.unwrapped, "P", None) is not None:
        return load(name), None, env.spec.max_episode_steps if env.spec else None
    for what, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise ValueError(f"{name}: {what} are {space}, not Discrete: a table needs what can be counted")
    return None, lambda: gymnasium.make(name), None  # it cuts its episodes off itself


def _epsilon(rules: Mapping[str, Any]) -> float | None:
    """The probability of exploring that all rules have in the end, if there is one."""
    found = set()
    for rule in rules.values():
        level = getattr(rule.exploration, "epsilon", None)
        found.add(float(level) if isinstance(level, int | float) else getattr(level, "last", None))
    return found.pop() if len(found) == 1 else None


def _told(world: World, rules: Mapping[str, Any], results: Mapping[str, Played], limits: Limits | None) -> list[str]:
    """What the table does not say."""
    from suasion.td import PrioritisedSweeping

    told = []
    if limits is not None:
        words = [f"optimal {limits.optimal:.6g}"]
        if limits.epsilon:
            words.append(f"best policy that explores with ε = {limits.epsilon:g}: {limits.soft:.6g}")
            words.append(f"an optimal policy that does: {limits.exploring:.6g}")
        told.append("exact values from the start: " + "; ".join(words))
    # Prioritised sweeping steps towards averages of what was met: those settle by themselves.
    stepping = {name: rule for name, rule in rules.items() if not isinstance(rule, PrioritisedSweeping)}
    unsettled = [name for name, rule in stepping.items() if not getattr(rule.step_size, "robbins_monro", False)]
    if unsettled:
        told.append(f"steps that do not settle (Robbins-Monro): {', '.join(unsettled)}")
    if world.time_limit is not None:
        cut = np.mean([(result.found.lengths == world.time_limit).sum() for result in results.values()])
        ended = np.mean([(result.found.lengths > 0).sum() for result in results.values()])
        if cut:
            told.append(f"{cut / ended:.1%} of episodes went on to the limit of {world.time_limit:,} steps")
    return told


@contextlib.contextmanager
def _progress(rules: int) -> Iterator[Callable[[str], Callable[[str], None]]]:
    """A line on the error stream, if that is a terminal: how many rules are done, and what is being done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as line:
        task = line.add_task("learn", total=rules)
        done = iter(range(rules))

        def told(name: str) -> Callable[[str], None]:
            line.update(task, completed=next(done))
            return lambda doing: line.update(task, description=f"{name} {doing}")

        yield told
