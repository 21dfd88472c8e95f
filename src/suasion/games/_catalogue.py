"""The games by name, as the command line asks for them, and maps and payoff tables from files."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suasion.games._box import BoxTrapped
from suasion.games._cleanup import Cleanup
from suasion.games._game import Game, GameError
from suasion.games._harvest import Harvest
from suasion.games._maps import SMALL_CLEANUP_MAP, SMALL_HARVEST_MAP
from suasion.games._matrix import MatrixGame, chicken, prisoners_dilemma, pure_coordination, stag_hunt
from suasion.games._recall import Recall
from suasion.games._signalling import Signalling
from suasion.games._tmaze import TMaze
from suasion.records import nearest

LARGEST_FILE = 1_000_000  # bytes of a map or payoff file
SMALL = MappingProxyType({"agents": 3, "view": 7, "horizon": 250, "hit_cost": 5.0})
DEFAULTS = MappingProxyType({"size": "small", "variant": "paper", "agents": None, "view": None, "horizon": None})


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """A line of the catalogue: what the game is, how it is built, and which options of which types it takes."""

    meaning: str
    build: Callable[..., Game]
    options: Mapping[str, type]


def catalogue() -> dict[str, str]:
    """The names that `make` knows, each with one line about the game."""
    return {name: entry.meaning for name, entry in ENTRIES.items()}


def make(
    name: str,
    *,
    size: str = "small",
    variant: str = "paper",
    agents: int | None = None,
    view: int | None = None,
    horizon: int | None = None,
    map: str | Path | None = None,
    **options: float | int | None,
) -> Game:
    """A game by its name, or from a map file.

    A map file is plain text: rows of the rule book's letters, optionally after a line `game: harvest` (or
    `cleanup`, `box-trapped`). Without that line `R`, `H` or `S` mean Cleanup, `D` or `T` Box Trapped, and
    anything else Harvest. A payoff file is JSON: a table as nested lists, `payoffs[a_1]...[a_n]` holding the
    n payoffs, or an object with that table as `payoffs` and, if wanted, names as `actions`.

    Args:
        name: one of `catalogue()`, or the path of a map file (or of a payoff file, if it ends in `.json`).
        size: of Harvest and Cleanup: `small`, the rule book's small maps (3 agents, 7 x 7 views, 250 steps,
            a hit costs 5), or `paper`, those of the publications. With an own map it sets the defaults of the
            other options alone.
        variant: of Harvest and Cleanup: `paper` or `ssd`, as the rule book says.
        agents: number of agents.
        view: side of the square view, odd.
        horizon: steps in an episode.
        map: path of a map file (Harvest, Cleanup, Box Trapped) or of a payoff file (`matrix`), or the map
            itself as text of several lines.
        options: others that the game takes, as its class documents them: `fire_cost`, `hit_cost` (Harvest,
            Cleanup), `symbols` (`recall`, `signalling`), `delay` (`recall`), `length` (`t-maze`), `actions`
            (`pure-coordination`). None means the default.

    Returns:
        The game.

    Raises:
        GameError: an unknown name (the nearest ones are offered), an option that the game does not take
            (those that it takes are listed), a number of the wrong kind, a file that cannot be read or
            understood, and whatever the game itself refuses.
    """
    common = {"size": size, "variant": variant, "agents": agents, "view": view, "horizon": horizon}
    given: dict[str, Any] = {k: v for k, v in common.items() if v != DEFAULTS[k]}
    given |= {k: v for k, v in {"map": map, **options}.items() if v is not None}
    kind, text = name, None
    if name not in ENTRIES:
        if map is not None:
            raise GameError(f"{_unknown(name)} (and map is given as well, so it is not taken for a file)")
        kind, text = _open(name)
    elif map is not None and "map" in ENTRIES[name].options:
        text = _read(map)
    if text is not None:
        given["map"] = text
    entry = ENTRIES[kind]
    checked = {option: _checked(kind, option, value) for option, value in given.items()}
    return entry.build(**checked)


def _checked(kind: str, option: str, value: Any) -> Any:
    """The value of an option in its type, or an error that lists what the game takes."""
    takes = ENTRIES[kind].options
    if option not in takes:
        raise GameError(f"{kind} does not take {option!r}{nearest(option, takes)}; it takes {', '.join(takes)}")
    wanted = takes[option]
    if wanted is str:
        return value
    if isinstance(value, bool) or not isinstance(value, int if wanted is int else int | float):
        raise GameError(f"{option} is {value!r}, not {'a whole' if wanted is int else 'a'} number")
    return wanted(value)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, ENTRIES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "there is no name like it."
    return f"unknown game {name!r}: {hint} Games: {', '.join(ENTRIES)}; or the path of a map file"


def _open(name: str) -> tuple[str, str]:
    """The game that a file is for, and the file's text."""
    path = Path(name)
    if not path.exists() and not path.suffix and len(path.parts) < 2:
        raise GameError(_unknown(name))
    text = _read(path)
    return ("matrix" if path.suffix == ".json" else _kind(*_split(text))), text


def _read(source: str | Path) -> str:
    """A file's text; text of several lines is itself."""
    if isinstance(source, str) and "\n" in source:
        return source
    try:
        with open(source, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise GameError(f"{source} has more than {LARGEST_FILE} bytes: not a map or a payoff table")
        return content.decode("utf-8")
    except OSError as error:
        raise GameError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GameError(f"{source} is not UTF-8 text: byte {error.start} is 0x{content[error.start]:02x}") from error


def _split(text: str) -> tuple[dict[str, str], str]:
    """The header of a map file and its rows, without the ends of lines of Windows and a last empty line."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    header: dict[str, str] = {}
    while lines and (match := re.fullmatch(r"\s*([a-z]+)\s*:\s*(.*?)\s*", lines[0])):
        key, value = match.groups()
        if key != "game":
            raise GameError(f"the map's header has {key!r}; all that it may hold is `game: NAME`")
        header[key] = value
        del lines[0]
    return header, "\n".join(lines)


def _kind(header: Mapping[str, str], rows: str) -> str:
    """The game that a map is for."""
    if "game" in header:
        if header["game"] not in MAPPED:
            raise GameError(f"the map says `game: {header['game']}`; maps are for {', '.join(MAPPED)}")
        return header["game"]
    if set("RHS") & set(rows):
        return "cleanup"
    return "box-trapped" if set("DT") & set(rows) else "harvest"


def _rows(kind: str, text: str) -> str:
    """The rows of a map that is meant for `kind`."""
    header, rows = _split(text)
    if header.get("game", kind) != kind:
        raise GameError(f"the map is for {header['game']}, not for {kind}")
    return rows


def _sized(kind: str, game: type[Harvest] | type[Cleanup], small: str, options: dict[str, Any]) -> Game:
    """Harvest or Cleanup in one of the two sizes."""
    size = options.pop("size", "small")
    if size not in ("small", "paper"):
        raise GameError(f"size is {size!r}, not 'small' or 'paper'")
    if "map" in options:
        options["map"] = _rows(kind, options["map"])
    defaults: dict[str, Any] = {"map": small, **SMALL} if size == "small" else {}
    return game(**defaults | options)


def _harvest(**options: Any) -> Game:
    return _sized("harvest", Harvest, SMALL_HARVEST_MAP, options)


def _cleanup(**options: Any) -> Game:
    return _sized("cleanup", Cleanup, SMALL_CLEANUP_MAP, options)


def _box(**options: Any) -> Game:
    if "map" in options:
        options["map"] = _rows("box-trapped", options["map"])
    return BoxTrapped(**options)


def _matrix(map: str | None = None, **options: Any) -> Game:
    """A matrix game from JSON text; without it the prisoner's dilemma."""
    if map is None:
        return prisoners_dilemma(**options)
    try:
        table = json.loads(map)
    except (ValueError, RecursionError) as error:
        raise GameError(f"the payoff table is not JSON: {error}") from error
    if not isinstance(table, dict):
        table = {"payoffs": table}
    if not {"payoffs"} <= set(table) <= {"payoffs", "actions"} or not isinstance(table["payoffs"], list):
        raise GameError(f"a payoff file has `payoffs` (nested lists) and perhaps `actions`, not {sorted(table)}")
    names = table.get("actions", [])
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise GameError(f"actions is {names!r}, not a list of names")
    return MatrixGame(payoffs=table["payoffs"], actions=names, **options)


GRID = {"size": str, "variant": str, "agents": int, "view": int, "horizon": int, "map": str}
COSTS = {"fire_cost": float, "hit_cost": float}
MAPPED = ("harvest", "cleanup", "box-trapped")
ENTRIES: Mapping[str, _Entry] = MappingProxyType(
    {
        "harvest": _Entry(meaning="a commons: apples regrow only near apples", build=_harvest, options=GRID | COSTS),
        "cleanup": _Entry(
            meaning="a public good: apples grow only while somebody cleans the river",
            build=_cleanup,
            options=GRID | COSTS,
        ),
        "box-trapped": _Entry(
            meaning="two agents, one in a box that only the other can open, at a loss",
            build=_box,
            options={"view": int, "horizon": int, "map": str},
        ),
        "prisoners-dilemma": _Entry(
            meaning="matrix game: defecting is better, yet both would rather cooperate",
            build=prisoners_dilemma,
            options={"horizon": int},
        ),
        "stag-hunt": _Entry(
            meaning="matrix game: stag together is best, hare is safe",
            build=stag_hunt,
            options={"horizon": int},
        ),
        "chicken": _Entry(
            meaning="matrix game: each would rather that the other swerves",
            build=chicken,
            options={"horizon": int},
        ),
        "pure-coordination": _Entry(
            meaning="matrix game: 1 for equal choices",
            build=pure_coordination,
            options={"actions": int, "horizon": int},
        ),
        "matrix": _Entry(
            meaning="matrix game with the payoffs of a JSON file (without one, the prisoner's dilemma)",
            build=_matrix,
            options={"horizon": int, "map": str},
        ),
        "recall": _Entry(
            meaning="a memory task with a known ceiling: name the symbol shown some steps ago",
            build=Recall,
            options={"agents": int, "horizon": int, "symbols": int, "delay": int},
        ),
        "signalling": _Entry(
            meaning="one agent sees, the others act: messages are needed, and the ceiling is known",
            build=Signalling,
            options={"agents": int, "horizon": int, "symbols": int},
        ),
        "t-maze": _Entry(
            meaning="a memory task with a known ceiling: turn at the end as the cue at the start said",
            build=TMaze,
            options={"agents": int, "horizon": int, "length": int},
        ),
    }
)
