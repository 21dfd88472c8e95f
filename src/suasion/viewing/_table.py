"""A table of means over seeds, as Markdown."""

import math
from collections.abc import Mapping, Sequence

from suasion.viewing._interval import mean_interval


def comparison_table(
    rows: Mapping[str, Mapping[str, Sequence[float | None]]], columns: Sequence[str] | Mapping[str, str]
) -> str:
    """A Markdown table: a line for each condition, in each cell mean ± half-width of the 95 % interval over
    seeds.

    The column n holds the number of seeds. A cell of which some values are undefined says so, and its mean is
    over the others; with one value there is no interval. Half-widths have two significant digits, means as
    many decimals.

    Args:
        rows: condition -> column -> one value a seed; None where the measure is undefined for that seed. All
            columns of a condition have the same number of seeds.
        columns: the columns to show, in order; or column -> its title, with the unit.

    Returns:
        The table, ending with a line break.

    Raises:
        ValueError: no rows or columns, a column missing from a row, no or unequal numbers of seeds, a value
            that is not finite; named.
    """
    titles = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}
    if not rows or not titles:
        raise ValueError(f"{len(rows)} rows and {len(titles)} columns; a table needs at least 1 of each")
    lines = [["", "n", *titles.values()]]
    for label, row in rows.items():
        cells = [_cell(_values(row, column, label), f"{label!r}, {column!r}") for column in titles]
        lines.append([label, str(_seeds(row, titles, label)), *cells])
    lines.insert(1, ["---", "---:", *("---:" for _ in titles)])
    return "".join("| " + " | ".join(map(escaped, line)) + " |\n" for line in lines)


def measures_table(measures: Sequence[Mapping[str, float | None]], titles: Mapping[str, str]) -> str:
    """A Markdown table with a line for each measure: mean ± half-width of the 95 % interval over episodes.

    Args:
        measures: of each episode by name; None where undefined.
        titles: the measures to show, in order, with their titles.

    Returns:
        The table, ending with a line break.

    Raises:
        ValueError: no measure, no episode, or a value that is not finite; named.
    """
    if not measures or not titles:
        raise ValueError(f"{len(measures)} episodes and {len(titles)} measures; a table needs at least 1 of each")
    lines = [["measure", f"mean ± 95 % over {len(measures)} episodes"], ["---", "---:"]]
    lines += [[title, _cell([each[name] for each in measures], repr(name))] for name, title in titles.items()]
    return "".join("| " + " | ".join(map(escaped, line)) + " |\n" for line in lines)


def estimates_table(
    rows: Sequence[tuple[str, float | None, float | None, float | None, int, str]], episodes: int
) -> str:
    """A Markdown table of means with intervals that need not be symmetric.

    Args:
        rows: title, mean, low and high end of the interval (None where there is none), number of episodes in which it
            is defined, and why it is not in the others.
        episodes: how many there are.

    Returns:
        The table, ending with a line break.

    Raises:
        ValueError: no row, or a number that is not finite; named.
    """
    if not rows:
        raise ValueError("there is nothing to show")
    lines = [
        ["measure", f"mean over {episodes} episodes", "95 % bootstrap interval", ""],
        ["---", "---:", "---:", "---"],
    ]
    for title, mean, low, high, defined, reason in rows:
        if any(x is not None and not math.isfinite(x) for x in (mean, low, high)):
            raise ValueError(f"{title!r} is {mean} ({low} to {high}), not finite")
        note = "" if defined == episodes else f"undefined in {episodes - defined}: {reason}"
        digits, interval = 3, ""
        if low is not None and high is not None:
            digits = max(0, 2 - math.floor(math.log10(high - low))) if high > low else digits
            interval = f"{low:.{digits}f} to {high:.{digits}f}"
        lines.append([title, "" if mean is None else f"{mean:.{digits}f}", interval, note])
    return "".join("| " + " | ".join(map(escaped, line)) + " |\n" for line in lines)


def _values(row: Mapping[str, Sequence[float | None]], column: str, label: str) -> Sequence[float | None]:
    if column not in row:
        raise ValueError(f"row {label!r} has no column {column!r}; it has {', '.join(map(repr, row))}")
    return row[column]


def _seeds(row: Mapping[str, Sequence[float | None]], titles: Mapping[str, str], label: str) -> int:
    counts = {column: len(row[column]) for column in titles}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(f"row {label!r} has {counts} seeds; must be equal and at least 1")
    return next(iter(counts.values()))


def _cell(values: Sequence[float | None], place: str) -> str:
    defined = [value for value in values if value is not None]
    missing = len(values) - len(defined)
    note = f"undefined ({missing} of {len(values)})" if missing else ""
    if not defined:
        return note
    try:
        mean, half = mean_interval(defined)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return "; ".join(part for part in (format_interval(mean, half), note) if part)


def format_interval(mean: float, half: float | None) -> str:
    """`23.41 ± 0.37`: two significant digits of the half-width, the mean to the same decimal."""
    if half is None:
        return f"{mean:.4g}"
    if half == 0:
        return f"{mean:.4g} ± 0"
    decimals = 1 - math.floor(math.log10(half))
    if not -6 < decimals < 7:
        return f"{mean:.4g} ± {half:.2g}"
    decimals = max(0, decimals)
    return f"{mean:.{decimals}f} ± {half:.{decimals}f}"


def escaped(text: str) -> str:
    """A cell cannot end its column, its line, or begin markup."""
    for mark in "\\|<>*_`[]":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
