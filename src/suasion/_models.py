"""The commands about models in arrays: `suasion solve` and `suasion convert`. Neither imports JAX."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from suasion._model_pictures import check_graph, graph
from suasion._pictures import check_width

if TYPE_CHECKING:
    from suasion.markov import MDP, Question
    from suasion.planning import Solution

SHOWN = 20  # states in the table
_MOVES = {
    "left": (0, -1),
    "west": (0, -1),
    "right": (0, 1),
    "east": (0, 1),
    "up": (-1, 0),
    "north": (-1, 0),
    "down": (1, 0),
    "south": (1, 0),
}
# The names of actions that these environments give in their documentation only.
_GYMNASIUM_ACTIONS = {
    "FrozenLake": ("left", "down", "right", "up"),
    "FrozenLake8x8": ("left", "down", "right", "up"),
    "CliffWalking": ("up", "right", "down", "left"),
    "Taxi": ("south", "north", "east", "west", "pickup", "dropoff"),
}


_FILES = {".umb", ".drn", ".tra", ".npz", ".pomdp", ".mdp", ".gz", ".xz"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model, and what is known about it.

    Attributes:
        mdp: the model; of a POMDP, the process underneath.
        question: what the file asks.
        grid: rows and columns, where states lie on a grid, row by row.
    """

    mdp: MDP
    question: Question
    grid: tuple[int, int] | None = None


def load(name: str, rewards: str | None = None) -> Loaded:
    """A model from a file, or of a Gymnasium environment with a table `P`.

    Raises:
        ValueError: there is no such file or environment, or it holds no model.
    """
    from suasion.markov import POMDP, read_model

    path = Path(name)
    if path.exists() or path.suffix.lower() in _FILES:
        model, question = read_model(path, rewards=rewards)
        if isinstance(model, POMDP):
            print(f"suasion: {path}: solved as if its states were seen", file=sys.stderr)
            model = model.mdp
        return Loaded(mdp=model, question=question)
    return _gymnasium(name)


def _gymnasium(name: str) -> Loaded:
    from suasion.markov import Question, from_gymnasium

    try:
        import gymnasium

        env = gymnasium.make(name).unwrapped
    except ImportError as error:
        raise ValueError(f"{name}: no such file, and {error}") from error
    except gymnasium.error.Error as error:
        raise ValueError(f"{name}: no such file, and no environment of Gymnasium: {error}") from error
    table = getattr(env, "P", None)
    if table is None:
        raise ValueError(f"{name} has no table P of its dynamics: only environments that tell theirs can be solved")
    kind = re.split(r"[-/]", name)[0]
    actions = _GYMNASIUM_ACTIONS.get(kind, ())
    mdp = from_gymnasium(table, initial=getattr(env, "initial_state_distrib", None), actions=actions)
    shape = getattr(env, "shape", None) or (getattr(env, "nrow", 0), getattr(env, "ncol", 0))
    rows, columns = (int(n) for n in shape)
    return Loaded(mdp=mdp, question=Question(), grid=(rows, columns) if rows * columns else None)


Objective = Literal["discounted", "total", "reach", "reach-reward", "average", "horizon"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solve:
    """Solve a model: the best values, between proven bounds, and a policy that attains them.

    The model is a file (UMB, DRN, PRISM explicit, Cassandra, npz) or a Gymnasium environment that has a table `P`,
    such as FrozenLake-v1.
    """

    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """A file, or the name of an environment."""
    discount: Annotated[float | None, arg(metavar="NUMBER", help_behavior_hint="(default: the file's)")] = None
    """Worth of a reward one step later, 0 to 1; 1 asks for the expected total reward."""
    objective: Annotated[Objective | None, arg(help_behavior_hint="(default: discounted)")] = None
    """discounted: the sum of discounted rewards; total: of all rewards; reach: the probability of reaching --goal;
    reach-reward: the sum until --goal, which must be reached; average: a step; horizon: the sum of --steps steps."""
    goal: Annotated[str | None, arg(metavar="LABEL")] = None
    """Label of the states to reach, or their numbers: 3,7."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Of the horizon."""
    minimise: bool = False
    """Take rewards as costs, as those of a file that says so are anyway."""
    rewards: Annotated[str | None, arg(metavar="NAME")] = None
    """Which rewards, where a file has several."""
    method: Literal[
        "auto",
        "policy_iteration",
        "modified_policy_iteration",
        "inexact_policy_iteration",
        "value_iteration",
        "gauss_seidel",
        "topological",
        "prioritised_sweeping",
    ] = "auto"
    """The algorithm, for discounted and total; auto says what it chose and why."""
    tolerance: float = 1e-6
    """Greatest error of a value that is asked for, in reward units."""
    limit: int = 1_000_000
    """Of iterations; when it is reached the command says so and exits with 1."""
    exact: bool = False
    """Go over the result in rational arithmetic."""
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where policy.npz and policy.csv go, and the pictures of a grid."""
    grid: Annotated[str | None, arg(metavar="ROWSxCOLUMNS")] = None
    """Draw the states as a grid, row by row."""
    animate: bool = False
    """Draw the sweeps of value iteration too, as sweeps.gif."""
    graph: Annotated[Path | None, arg(metavar="FILE")] = None
    """Draw the model as a graph with values and policy, up to 40 states: PNG, SVG or PDF by the ending."""
    only_policy: bool = False
    """Leave out of the graph what the policy does not choose."""
    width: Annotated[float | None, arg(metavar="INCHES", help_behavior_hint="(default: by what is drawn)")] = None
    """Of the pictures; 3.3 is a column of a paper."""

    def run(self) -> int:
        """Solve, print, keep, draw."""
        loaded = load(self.model, self.rewards)
        if self.grid is not None:
            loaded = dataclasses.replace(loaded, grid=_grid(self.grid, loaded.mdp))
        self._check(loaded)
        began = time.perf_counter()
        try:
            solution = self._solution(loaded)
        except ArithmeticError as error:
            raise RuntimeError(f"{self.model}: {error}") from error
        seconds = time.perf_counter() - began
        _print_table(loaded.mdp, solution)
        print(f"{solution.method}: {solution.why}")
        print(
            f"{solution.status.value} after {solution.iterations} iterations, {seconds:.3g} s; gap {solution.gap:.3g}"
        )
        for path in self._keep(loaded, solution):
            print(path)
        if self.graph is not None:
            from suasion.viewing import save_figure

            title = Path(self.model).name
            figure = graph(loaded.mdp, loaded.grid, solution, title, only_policy=self.only_policy, width=self.width)
            print(save_figure(figure, self.graph))
        return 0 if solution.converged else 1

    def _check(self, loaded: Loaded) -> None:
        """Refuse options that would do nothing, or show something else than what is solved."""
        if self.exact and self.objective in ("average", "horizon"):
            raise ValueError(f"--exact does not go with --objective {self.objective}")
        if self.method != "auto" and self.objective not in (None, "discounted", "total"):
            raise ValueError(f"--method does not go with --objective {self.objective}")
        if self.animate and self.objective in ("reach", "reach-reward", "average"):
            raise ValueError(f"--animate does not go with --objective {self.objective}")
        if self.animate and (self.out is None or loaded.grid is None):
            raise ValueError("--animate needs --out, and --grid where the model does not lie on one by itself")
        check_width(self.width, 1.0)
        if self.graph is not None:
            check_graph(loaded.mdp, self.graph, only_policy=self.only_policy)
        elif self.only_policy:
            raise ValueError("--only-policy needs --graph")
        elif self.width is not None and (self.out is None or loaded.grid is None):
            raise ValueError("--width needs --graph, or --out with a grid: nothing else is drawn")

    def _maximise(self, loaded: Loaded) -> bool:
        return loaded.question.maximise and not self.minimise

    def _discount(self, loaded: Loaded) -> float:
        if self.objective == "total":
            return 1.0
        discount = loaded.question.discount if self.discount is None else self.discount
        if discount is None and self.objective == "horizon":
            return 1.0
        if discount is None:
            raise ValueError(f"--discount is not given, and {self.model} does not say")
        return discount

    def _solution(self, loaded: Loaded) -> Solution:
        from suasion import planning

        mdp, maximise = loaded.mdp, self._maximise(loaded)
        effort: dict[str, Any] = {"tolerance": self.tolerance, "limit": self.limit}
        with _Progress() as report:
            if self.objective == "horizon":
                if self.steps is None:
                    raise ValueError("--objective horizon needs --steps")
                found = planning.finite_horizon(mdp, self.steps, self._discount(loaded), maximise=maximise)
                return _first(found, self.steps)
            if self.objective == "average":
                return planning.average_reward(mdp, maximise=maximise, report=report, **effort)
            if self.objective in ("reach", "reach-reward"):
                goal = _goal(mdp, self.goal)
                verb = planning.reach_probability if self.objective == "reach" else planning.reach_reward
                return verb(mdp, goal, maximise=maximise, report=report, exact=self.exact, **effort)
            return planning.solve(
                mdp,
                self._discount(loaded),
                maximise=maximise,
                method=self.method,
                report=report,
                exact=self.exact,
                **effort,
            )

    def _keep(self, loaded: Loaded, solution: Solution) -> list[Path]:
        if self.out is None:
            return []
        self.out.mkdir(parents=True, exist_ok=True)
        paths = _write_policy(self.out, loaded.mdp, solution)
        if loaded.grid is not None:
            paths += self._draw(loaded, solution, loaded.grid)
        return paths

    def _draw(self, loaded: Loaded, solution: Solution, grid: tuple[int, int]) -> list[Path]:
        from suasion.viewing import save_pictures, value_map, write_sweeps

        assert self.out is not None
        cells = grid[0] * grid[1]
        value = solution.value[:cells].reshape(grid)
        moves = _moves(loaded.mdp, solution)[:cells].reshape(*grid, 2)
        figure = value_map(value, moves, title=self.model, label="value (reward units)", width=self.width)
        paths = save_pictures(figure, self.out, "value")
        if self.animate:
            from suasion.planning import finite_horizon

            count = min(60, max(10, 2 * max(grid)))
            swept = finite_horizon(loaded.mdp, count, self._discount(loaded), maximise=self._maximise(loaded)).value
            paths.append(write_sweeps(swept[:, :cells].reshape(-1, *grid), self.out / "sweeps.gif"))
        return paths


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a model in another format, known by the file's ending.

    Reads UMB, DRN, PRISM explicit, Cassandra and npz; writes UMB, DRN and npz.
    """

    source: Positional[Annotated[str, arg(metavar="FROM")]]
    """A file, or the name of a Gymnasium environment with a table `P`."""
    target: Positional[Annotated[Path, arg(metavar="TO")]]
    """The file to write, whole or not at all."""
    rewards: Annotated[str | None, arg(metavar="NAME")] = None
    """Which rewards, where a file has several."""

    def run(self) -> int:
        """Read, write, and say what it was."""
        from suasion.markov import read_model, write_model

        if Path(self.source).exists():
            model, question = read_model(Path(self.source), rewards=self.rewards)
        else:
            loaded = load(self.source, self.rewards)
            model, question = loaded.mdp, loaded.question
        write_model(model, self.target, question=question)
        print(f"{self.target}  {getattr(model, 'mdp', model)!r}")
        return 0


class _Progress:
    """The gap, while it falls, on one line of a terminal."""

    def __init__(self) -> None:
        self.shown = 0.0
        self.live = sys.stderr.isatty()

    def __enter__(self) -> Callable[[int, float], None]:
        return self.report

    def __exit__(self, *_: object) -> None:
        if self.live and self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def report(self, iteration: int, gap: float) -> None:
        """At most ten times a second."""
        now = time.monotonic()
        if self.live and now - self.shown > 0.1:
            self.shown = now
            print(f"\r\033[Kiteration {iteration:,}  gap {gap:.3g}", end="", file=sys.stderr, flush=True)


def _grid(text: str, mdp: MDP) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ValueError(f"--grid {text}: write ROWSxCOLUMNS, such as 4x12")
    rows, columns = (int(n) for n in found.groups())
    if not 0 < rows * columns <= mdp.n_states:
        raise ValueError(f"--grid {text} has {rows * columns} cells, and the model {mdp.n_states} states")
    return rows, columns


def _goal(mdp: MDP, text: str | None) -> np.ndarray | str:
    """A label, or states by number."""
    if text is None:
        raise ValueError(f"--goal is not given; the model has the labels {', '.join(mdp.labels) or 'none'}")
    if text in mdp.labels or not re.fullmatch(r"\d+(,\d+)*", text):
        return text
    states = [int(part) for part in text.split(",")]
    if max(states) >= mdp.n_states:
        raise ValueError(f"--goal {text}: states are 0 to {mdp.n_states - 1}")
    return np.isin(np.arange(mdp.n_states), states)


def _first(horizon: Any, steps: int) -> Solution:
    """The answer with all steps to go."""
    from suasion.planning import Solution, Status

    nowhere = np.full(horizon.value.shape[1], -1)
    return Solution(
        value=horizon.value[-1],
        lower=horizon.lower[-1],
        upper=horizon.upper[-1],
        policy=horizon.policy[-1] if steps else nowhere,
        status=Status.CONVERGED,
        iterations=steps,
        method="backward induction",
        why="a finite number of steps; the policy is that of the first",
    )


def _names(mdp: MDP, solution: Solution) -> list[str]:
    """The action of the policy in each state, in words."""
    index = [int(mdp.action[c]) if c >= 0 else -1 for c in solution.policy]
    return ["" if a < 0 else mdp.actions[a] if a < len(mdp.actions) else str(a) for a in index]


def _print_table(mdp: MDP, solution: Solution) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("state", "value", "within", "action"):
        table.add_column(column, justify="left" if column in ("state", "action") else "right")
    names = _names(mdp, solution)
    for s in range(min(SHOWN, mdp.n_states)):
        value, lower, upper = (float(x[s]) for x in (solution.value, solution.lower, solution.upper))
        within = max(upper - value, value - lower)
        table.add_row(mdp.states[s] if mdp.states else str(s), f"{value:.10g}", f"{within:.1g}", names[s])
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    if mdp.n_states > SHOWN:
        print(f"... and {mdp.n_states - SHOWN:,} states more")


def _write_policy(out: Path, mdp: MDP, solution: Solution) -> list[Path]:
    from suasion.records import write_whole

    action = np.array([mdp.action[c] if c >= 0 else -1 for c in solution.policy], np.int32)
    content = io.BytesIO()
    np.savez(
        content,
        value=solution.value,
        lower=solution.lower,
        upper=solution.upper,
        policy=solution.policy,
        action=action,
    )
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["state", "value", "lower", "upper", "action"])
    for s, name in enumerate(_names(mdp, solution)):
        numbers = (repr(float(x[s])) for x in (solution.value, solution.lower, solution.upper))
        writer.writerow([mdp.states[s] if mdp.states else s, *numbers, name])
    write_whole(out / "policy.npz", [content.getbuffer()])
    write_whole(out / "policy.csv", [lines.getvalue().encode()])
    return [out / "policy.npz", out / "policy.csv"]


def _moves(mdp: MDP, solution: Solution) -> np.ndarray:
    """(down, right) of each state's action, by its name; NaN where the name is no direction."""
    steps = [_MOVES.get(name.lower(), (np.nan, np.nan)) for name in _names(mdp, solution)]
    return np.array(steps, np.float64).reshape(-1, 2)
