"""The report: what runs were asked, what they learned, and what their agents do to each other, in one file."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suasion.records import RecordError, find_runs, read_episode, refuse
from suasion.viewing._interval import mean_interval
from suasion.viewing._replay_pack import pack
from suasion.viewing._report_chart import COLOURS, Line, line_chart, matrix_chart
from suasion.viewing._report_page import document, text, write_document
from suasion.viewing._report_replay import NO_SCRIPT
from suasion.viewing._report_runs import Society, Told, across, seed_bands, tell
from suasion.viewing._runs import group_runs
from suasion.viewing._table import format_interval

Groups = Mapping[str, Sequence[Told]]
_FILM_BYTES = 2_500_000  # of all episodes in a report
_MOMENTS = 10  # listed for each episode
_PASSED_OVER = ("episode/count", "episode/length")
_ON_AGENT = "influence/on_agent_"
_ON = re.compile(_ON_AGENT + "[1-9][0-9]{0,4}")


def write_report(
    paths: Sequence[str | Path], out: str | Path, *, society: Society | None = None, force: bool = False
) -> Path:
    """Write the report of runs; runs that differ only in their seed are one condition. See `docs/report.md`.

    Args:
        paths: runs, or folders of runs.
        out: the file.
        society: measures of an episode from its rewards and events, by name, None where undefined.
        force: replace what is there.

    Raises:
        RecordError: no runs, none that can be read, or `out` exists and `force` is not given.
        OSError: the disk refused.
    """
    refuse(out, force=force)
    found = list({run.resolve(): run for path in paths for run in find_runs(path)}.values())
    told, faults = [], []
    for run in found:
        try:
            told.append(tell(run, society))
        except RecordError as error:
            faults.append(str(error))
    if not told:
        raise RecordError("; ".join(faults[:3]) or "no run given")
    groups = grouped(told)
    films = films_of(groups, faults)
    title, scripts = f"Report: {', '.join(groups)}", ["player.js", "report.js"]
    body = f"<main>\n<h1>{text(title)}</h1>\n{laid_out(sections(groups, faults, films), films)}\n</main>"
    content = document(title, body, style="player.css", scripts=scripts, blocks={"films": films})
    return write_document(out, content, force=force)


def grouped(told: Sequence[Told]) -> dict[str, list[Told]]:
    """Runs of one condition together, by its name."""
    by_run = {id(one.run): one for one in told}
    return {name: [by_run[id(run)] for run in runs] for name, runs in group_runs([one.run for one in told]).items()}


def sections(groups: Groups, faults: Sequence[str], films: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The report as HTML, by the names of its parts."""
    return {
        "state": _state(groups, faults),
        "learning": _curves(groups),
        "agents": _per_agent(groups),
        "comparison": _comparison(groups),
        "influence": _influence(groups, films),
        "configuration": _configurations(groups),
        "versions": _versions(groups),
    }


def laid_out(parts: Mapping[str, str], films: Sequence[Mapping[str, Any]]) -> str:
    """The parts in their order, the replay among them."""
    replay = f'<h2 id="replay">Replay</h2>\n{NO_SCRIPT}\n<div id="player" data-beside="yes"></div>' if films else ""
    pieces = [f'<section id="{name}">{part}</section>' for name, part in parts.items()]
    return "\n".join((*pieces[:-2], replay, *pieces[-2:]))


def films_of(groups: Groups, faults: list[str]) -> list[dict[str, Any]]:
    """An episode of each condition, of its first seed that has one, while there is room."""
    films: list[dict[str, Any]] = []
    room = _FILM_BYTES
    for name, runs in groups.items():
        file = next((one.film for one in runs if one.film is not None), None)
        if file is None:
            continue
        try:
            film = pack(read_episode(file), name)
        except ValueError as error:  # too large, or changed meanwhile
            faults.append(str(error))
            continue
        room -= len(str(film["bytes"]))
        if room < 0:
            faults.append(f"{file}: no replay, the report would be too large; `suasion replay` makes a page of its own")
            break
        films.append(film)
    return films


def _state(groups: Groups, faults: Sequence[str]) -> str:
    """What was found, and what is amiss."""
    rows = "".join(
        f"<tr><th scope=row>{text(name)}</th><td>{len(runs)}</td><td>{sum(one.episodes[1] for one in runs)}</td></tr>"
        for name, runs in groups.items()
    )
    said: dict[str, list[str]] = {}
    for one in (one for runs in groups.values() for one in runs):
        for note in one.notes:
            said.setdefault(note, []).append(str(one.run.path))
    notes = [f"{_named(paths)}: {note}" for note, paths in said.items()]
    notes += [f"left out: {fault}" for fault in faults]
    read = [one.episodes for runs in groups.values() for one in runs if one.episodes[1] > one.episodes[0]]
    if read:
        notes.append(f"measures are over the first {read[0][0]} episodes of a run")
    listed = "".join(f'<p class="note">{text(note)}</p>' for note in notes)
    return f"<table><tr><th>condition</th><th>seeds</th><th>episodes</th></tr>{rows}</table>\n{listed}"


def _curves(groups: Groups) -> str:
    """Learning curves and reward terms, all conditions in one chart each."""
    keys = {key for runs in groups.values() for one in runs for key in one.series}
    first = [key for key in ("episode/return",) if key in keys]
    others = sorted(key for key in keys - set(first) - {*_PASSED_OVER, "episode/returns"} if key.startswith("episode/"))
    terms = sorted(key for key in keys if key.startswith("reward/"))
    if not first + others + terms:
        return "<h2>Learning</h2><p>No episode has ended in these runs yet: there are no curves.</p>"
    choice = (
        '<p><label><input type="radio" name="centre" value="mean" checked> mean over seeds</label> '
        '<label><input type="radio" name="centre" value="iqm"> interquartile mean</label>'
        '<span class="muted"> · bands: 95 % bootstrap over seeds · across: environment steps</span></p>'
    )
    learning = "".join(_figure(groups, key, key, None) for key in first + others)
    paid = "".join(_figure(groups, key, f"{key} ({_unit(key)}, mean over agents)", None) for key in terms)
    return (
        f'<h2>Learning</h2>{choice}{_key(list(groups))}<div class="charts">{learning}</div>'
        f'<h2>Reward terms</h2>{_key(list(groups))}<div class="charts">{paid}</div>'
    )


def _unit(key: str) -> str:
    return "nats a step" if key.startswith("reward/influence") else "reward a step"


def _figure(groups: Groups, key: str, title: str, agent: int | None) -> str:
    lines, missing = [], []
    for place, (name, runs) in enumerate(groups.items()):
        found = across(runs, key, agent)
        if found is None:
            if any(key in one.series for one in runs):
                missing.append(name)
            continue
        lines += _layers(*found, place)
    said = f'<p class="muted">seeds with different steps: {text(", ".join(missing))}</p>' if missing else ""
    return f"<figure><figcaption>{text(title)}</figcaption>{line_chart(lines, title)}{said}</figure>"


def _layers(steps: np.ndarray, values: np.ndarray, place: int) -> list[Line]:
    return [
        Line(x=steps, y=band.middle, low=band.low, high=band.high, place=place, layer=layer)
        for layer, band in zip(("mean", "iqm"), seed_bands(values), strict=True)
    ]


def _key(names: Sequence[str]) -> str:
    entries = "".join(
        f'<li><svg viewBox="0 0 36 8" aria-hidden="true"><path class="line s{i % COLOURS} d{i // COLOURS % 4}" '
        f'd="M0 4H36"/></svg>{text(name)}</li>'
        for i, name in enumerate(names)
    )
    return f'<ul class="key">{entries}</ul>'


def _per_agent(groups: Groups, key: str = "episode/returns", title: str = "Returns of each agent") -> str:
    """A chart for each condition, a curve for each agent."""
    figures, most = [], 0
    for name, runs in groups.items():
        tables = [one.series[key].values for one in runs if key in one.series]
        size = max((table.shape[1] for table in tables if table.ndim == 2), default=0)
        lines = []
        for agent in range(size):
            if (found := across(runs, key, agent)) is not None:
                lines += _layers(*found, agent)
        if lines:
            most = max(most, size)
            figures.append(
                f"<figure><figcaption>{text(name)}</figcaption>{line_chart(lines, f'{title}: {name}')}</figure>"
            )
    if not figures:
        return ""
    return (
        f'<h2>{title}</h2>{_key([f"agent {k + 1}" for k in range(most)])}<div class="charts">{"".join(figures)}</div>'
    )


def _comparison(groups: Groups) -> str:
    """Measures of the society of the recorded episodes, mean ± 95 % interval over seeds."""
    names = list({name: None for runs in groups.values() for one in runs for name in one.measures})
    if not names:
        return "<h2>Comparison</h2><p>No measures: no episodes are recorded, or none could be read.</p>"
    head = "".join(f"<th scope=col>{text(name)}</th>" for name in groups)
    rows = []
    for name in names:
        cells = []
        for runs in groups.values():
            values = [value for one in runs if (value := one.measures.get(name)) is not None]
            lost = len([one for one in runs if name in one.measures]) - len(values)
            note = f" (undefined in {lost})" if lost else ""
            cells.append(f"<td>{format_interval(*mean_interval(values)) if values else '–'}{note}</td>")
        rows.append(f"<tr><th scope=row>{text(name.replace('_', ' '))}</th>{''.join(cells)}</tr>")
    return (
        "<h2>Comparison</h2><p class=muted>Of the recorded episodes: mean ± 95 % interval (Student) over seeds.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="comparison"><table><tr><th></th>{head}</tr>'
        f"{''.join(rows)}</table></div>"
    )


def _influence(groups: Groups, films: Sequence[Mapping[str, Any]]) -> str:
    """Over training, as a matrix, and the moments."""
    matrices = []
    for name, runs in groups.items():
        pairs = [one.matrix for one in runs if one.matrix is not None]
        if not pairs or len({matrix.shape for matrix in pairs}) > 1:
            continue
        agents = [f"agent {k + 1}" for k in range(len(pairs[0]))]
        drawn = matrix_chart(np.mean(pairs, 0), agents, f"who influences whom: {name}")
        said = f"{text(name)}: nats a step, over {counted(len(pairs), 'seed')}"
        matrices.append(f"<figure><figcaption>{said}</figcaption>{drawn}</figure>")
    over_time = _per_agent(groups, "reward/influence", "Influence of each agent over training (nats a step)")
    over_time += _per_agent(groups, "reward/influence/message", "Influence by messages over training (nats a step)")
    over_time += _on_each(groups)
    moments = "".join(_moments(film, place) for place, film in enumerate(films))
    if not (matrices or over_time or moments):
        return "<h2>Influence</h2><p>None is recorded; <code>suasion influence</code> measures it.</p>"
    whom = f'<h2>Who influences whom</h2><div class="charts">{"".join(matrices)}</div>' if matrices else ""
    listed = f"<h2>Influential moments</h2>{moments}" if moments else ""
    return over_time + whom + listed


def _on_each(groups: Groups) -> str:
    """Influence over training by pair: a chart for each agent that is influenced, a curve for each influencer."""
    keys = sorted(
        (key for key in {key for runs in groups.values() for one in runs for key in one.series} if _ON.fullmatch(key)),
        key=lambda key: int(key.removeprefix(_ON_AGENT)),
    )
    if len(keys) < 3:  # of two agents each has but one other to influence: the charts above show it
        return ""
    figures, most = [], 0
    for name, runs in groups.items():
        for key in keys:
            lines = []
            tables = [one.series[key].values for one in runs if key in one.series]
            for agent in range(max((table.shape[1] for table in tables if table.ndim == 2), default=0)):
                found = across(runs, key, agent)
                if found is not None and np.nan_to_num(found[1]).any():
                    lines += _layers(*found, agent)
                    most = max(most, agent + 1)
            if lines:
                title = f"{name}: on agent {key.removeprefix(_ON_AGENT)}"
                figures.append(f"<figure><figcaption>{text(title)}</figcaption>{line_chart(lines, title)}</figure>")
    if not figures:
        return ""
    drawn = f'{_key([f"agent {k + 1}" for k in range(most)])}<div class="charts">{"".join(figures)}</div>'
    return f"<h2>Influence over training, by pair (nats a step)</h2>{drawn}"


def _moments(film: Mapping[str, Any], place: int) -> str:
    moments, agents = film["moments"], film["agents"]
    entries = "".join(
        f'<li><button type="button" data-film="{place}" data-state="{t + 1}">step {t}: {text(agents[k])} → '
        f"{text(agents[j])}, {nats:.2g} nats</button></li>"
        for t, k, j, nats in moments[:_MOMENTS]
    )
    return f'<section class="moments"><h3>{text(film["name"])}</h3><ol>{entries}</ol></section>' if entries else ""


def _configurations(groups: Groups) -> str:
    parts = []
    for name, runs in groups.items():
        seeds = ", ".join(text(one.run.config.get("seed", "?")) for one in runs)
        shown = json.dumps(runs[0].run.config, indent=2, ensure_ascii=False, sort_keys=True)
        lines = "\n".join(text(line) if line.strip() == line else _indented(line) for line in shown.split("\n"))
        parts.append(f"<details><summary>{text(name)} (seeds {seeds})</summary><pre tabindex=0>{lines}</pre></details>")
    return f"<h2>Configuration</h2>{''.join(parts)}"


def _named(paths: Sequence[str]) -> str:
    """The first three, and how many more."""
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def counted(number: int, thing: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _indented(line: str) -> str:
    return " " * (len(line) - len(line.lstrip(" "))) + text(line)


def _versions(groups: Groups) -> str:
    """Versions and commits, each set once, with the runs that have it."""
    sets: dict[str, list[str]] = {}
    for runs in groups.values():
        for one in runs:
            manifest = one.run.manifest
            kept = {key: manifest.get(key) for key in ("versions", "commit", "machine", "settings")}
            sets.setdefault(json.dumps(kept, sort_keys=True), []).append(str(one.run.path))
    parts = []
    for shown, paths in sets.items():
        rows = []
        for key, value in json.loads(shown).items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            rows += [
                f"<tr><th scope=row>{text(f'{key} {name}')}</th><td>{text(entry)}</td></tr>" for name, entry in inner
            ]
        summary = f"{counted(len(paths), 'run')}, such as {text(paths[0])}"
        parts.append(f"<details><summary>{summary}</summary><table>{''.join(rows)}</table></details>")
    return f"<h2>Versions and commit</h2>{''.join(parts)}"
