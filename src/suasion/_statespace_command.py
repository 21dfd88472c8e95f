"""The commands about hidden state: `suasion filter`, `smooth`, `fit` and `forecast`. None imports JAX."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy import ndarray
from tyro.conf import Positional, arg

from suasion._pictures import ENDINGS, check_width
from suasion._statespace_files import read_model, read_series, write_model

Columns = dict[str, tuple[ndarray, ...]]  # an estimate, or an estimate with the ends of its interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the four commands share."""

    model: Positional[Annotated[Path, arg(metavar="MODEL.toml")]]
    """The model: kind = "linear-gaussian", "local-level", "local-linear-trend", "autoregressive" or "chain"."""
    series: Positional[Annotated[Path, arg(metavar="DATA.csv")]]
    """The series: a header, and a row for each step; an empty cell is missing."""
    columns: Annotated[str | None, arg(metavar="NAMES")] = None
    """Columns that are observed, between commas; all if not given."""
    inputs: Annotated[str | None, arg(metavar="NAMES")] = None
    """Columns of inputs, between commas, of a model that has some."""
    index: Annotated[str | None, arg(metavar="NAME")] = None
    """A column of numbers, such as a year, to label steps by instead of counting them."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: printed)")] = None
    """Where the result goes."""
    force: bool = False
    """Write over files that are there."""

    def _load(self) -> _Loaded:
        from suasion.statespace import FiniteSSM, Gaussian

        model, names = read_model(self.model)
        finite = isinstance(model, FiniteSSM)
        if isinstance(model, FiniteSSM):
            width = model.emission.mean.shape[1] if isinstance(model.emission, Gaussian) else 1
            size, wanted = model.n_states, 0
        else:
            width, size, wanted = model.n_observed, model.n_components**2, model.n_inputs
        seen, given = _names(self.columns), _names(self.inputs)
        if len(given) != wanted:
            raise ValueError(f"--inputs names {len(given)} columns, and the model has {wanted} inputs")
        if self.columns and len(seen) != width:
            raise ValueError(f"--columns names {len(seen)} columns, and {width} are observed")
        if not seen and (given or self.index):
            raise ValueError("--inputs and --index need --columns")
        index = (self.index,) if self.index else ()
        held = read_series(self.series, (*seen, *given, *index) if seen else (), size, width)
        seen = seen or tuple(held)
        y = np.stack([held[name] for name in seen], axis=1)
        u = np.stack([held[name] for name in given], axis=1) if given else None
        if u is not None and np.isnan(u).any():
            t, i = (int(k) for k in np.argwhere(np.isnan(u))[0])
            raise ValueError(f"{self.series}: row {t + 1}, column {given[i]!r} is missing, and an input")
        x = held[self.index] if self.index else np.arange(len(y), dtype=np.float64)
        if np.isnan(x).any() or not (np.diff(x) > 0).all():
            raise ValueError(f"{self.series}: column {self.index!r} must rise from row to row, without gaps")
        if finite and width == 1 and not isinstance(model.emission, Gaussian):  # type: ignore[union-attr]
            y = _counts(self.series, y[:, 0], seen[0])
        return _Loaded(model, names, seen, x, y, u, self.index or "step")

    def _refuse_old(self, *paths: Path | None) -> None:
        from suasion.records import refuse

        for path in paths:
            if path is not None:
                refuse(path, force=self.force)

    def _write(self, text: str) -> None:
        from suasion.records import write_whole

        if self.out is None:
            sys.stdout.write(text)
            return
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.out, [text.encode()])
        print(self.out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pictured(_Asked):
    level: float = 0.95
    """Probability of the intervals, between 0 and 1."""
    picture: Annotated[Path | None, arg(metavar="FILE")] = None
    """Draw it: PNG, SVG or PDF by the ending."""
    width: Annotated[float, arg(metavar="INCHES")] = 7.5
    """Of the picture; 3.3 is a column of a paper."""

    def _begin(self) -> _Loaded:
        if not 0 < self.level < 1:
            raise ValueError(f"--level is {self.level}: must be between 0 and 1")
        if self.picture is not None and self.picture.suffix.lower() not in ENDINGS:
            raise ValueError(f"--picture {self.picture}: must end in .png, .svg or .pdf")
        check_width(self.width)
        self._refuse_old(self.out, self.picture)
        return self._load()

    def _end(self, loaded: _Loaded, told: _Told) -> None:
        self._write(told.table(loaded))
        if self.picture is None:
            return
        from suasion.viewing import Estimate, estimates_figure, occupancy_figure, save_figure

        look: dict[str, Any] = {"xlabel": loaded.label, "width": self.width}
        if told.states is not None:
            seen = dict(zip(loaded.seen, loaded.observed().T, strict=True))
            figure = occupancy_figure(**told.occupancy(loaded, seen), names=loaded.names, **look)
        else:
            panels = []
            for name, (mean, low, high) in list(told.columns.items())[: 12 if told.seen is None else len(told.seen)]:
                panels.append(Estimate(title=name, **told.panel(loaded, name, self.level, mean, low, high)))
            figure = estimates_figure(panels, band=f"{100 * self.level:g} %", **look)
        print(save_figure(figure, self.picture), file=sys.stdout if self.out else sys.stderr)

    def _estimate(self, verb: Literal["filter", "smooth"]) -> int:
        from suasion import statespace

        loaded = self._begin()
        verbs = {"filter": statespace.filter, "smooth": statespace.smooth}
        found = verbs[verb](loaded.model, loaded.y, inputs=loaded.inputs)
        if getattr(found, "impossible", -1) >= 0:
            raise ValueError(f"{self.series}: row {int(found.impossible) + 1} is impossible under the model")
        print(f"log-likelihood {float(found.log_likelihood):.10g}", file=sys.stderr)
        if isinstance(loaded.model, statespace.FiniteSSM):
            states = found.filtered if verb == "filter" else found.smoothed
            columns: Columns = {f"p({name})": (states[:, k],) for k, name in enumerate(loaded.names)}
            path = None
            if verb == "smooth" and self.picture is not None:  # the path, too, is of all observations
                path = statespace.decode(loaded.model, loaded.y, inputs=loaded.inputs).path
            self._end(loaded, _Told(loaded.x, columns, states, None, path=path))
            return 0
        signal, spread = _signal(loaded, found.mean, found.covariance)
        columns = _banded(loaded.seen, signal, spread, self.level)
        columns |= _banded(loaded.names, found.mean, found.covariance, self.level)
        seen = {name: loaded.y[:, i] for i, name in enumerate(loaded.seen)}
        self._end(loaded, _Told(loaded.x, columns, None, seen))
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filter(_Pictured):
    """Estimate the hidden state at each step from the observations so far: CSV in, estimates with intervals out.

    Of a linear-Gaussian model: for each observed column the signal without its noise, then each component of the state.
    Of a chain: the probability of each state.
    """

    def run(self) -> int:
        """Filter, write, draw."""
        return self._estimate("filter")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Smooth(_Pictured):
    """Estimate the hidden state at each step from all observations: CSV in, estimates with intervals out.

    Columns are those of `suasion filter`.
    """

    def run(self) -> int:
        """Smooth, write, draw."""
        return self._estimate("smooth")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast(_Pictured):
    """Forecast the steps to come: what will be seen, with intervals, and the state."""

    steps: int = 10
    """How many, at least 1."""

    def run(self) -> int:
        """Forecast, write, draw."""
        from suasion import statespace

        if not 1 <= self.steps <= 1_000_000:
            raise ValueError(f"--steps is {self.steps}: must be 1 to 1,000,000")
        loaded = self._begin()
        if loaded.inputs is not None:
            raise ValueError("the model has inputs, and those of the steps to come are not known")
        found = statespace.forecast(loaded.model, loaded.y, self.steps)
        pace = loaded.x[-1] - loaded.x[-2] if len(loaded.x) > 1 else 1.0
        x = loaded.x[-1] + pace * np.arange(1, self.steps + 1)
        if isinstance(loaded.model, statespace.FiniteSSM):
            columns: Columns = {f"p({name})": (found.states[:, k],) for k, name in enumerate(loaded.names)}
            before = None
            if self.picture is not None:
                before = statespace.filter(loaded.model, loaded.y).filtered
            columns |= _expected(found.observations, loaded.seen)
            self._end(loaded, _Told(x, columns, found.states, None, before=before))
            return 0
        moments = found.observations
        columns = _banded(loaded.seen, moments.mean, moments.variance, self.level)
        columns |= _banded(loaded.names, found.mean, found.covariance, self.level)
        self._end(loaded, _Told(x, columns, None, {name: loaded.y[:, i] for i, name in enumerate(loaded.seen)}))
        return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitModel(_Asked):
    """Find the most likely parameters, from those of the model on; the result is a model in TOML."""

    method: Literal["ml", "em"] = "ml"
    """ml: a search by exact gradients, with standard errors; em: expectation and maximisation."""
    free: Annotated[str | None, arg(metavar="NAMES", help_behavior_hint="(default: Q,R; all of a chain)")] = None
    """Parameters that are free, between commas: A, B, C, D, Q, R, m0, P0; initial, transition, emission."""
    iterations: int = 500
    """At most so many; when they are used up the command says so and exits with 1."""
    tolerance: float = 1e-8
    """Of the greatest derivative (ml) or the last gain (em), relative to the log-likelihood."""

    def run(self) -> int:
        """Fit, write, and say how it went."""
        from suasion import statespace

        self._refuse_old(self.out)
        loaded = self._load()
        free: Any = _names(self.free) or None
        if free is None and self.method == "ml" and not isinstance(loaded.model, statespace.FiniteSSM):
            free = _masks(loaded.model)
        try:
            found = statespace.fit(
                loaded.model, loaded.y, method=self.method, free=free, iterations=self.iterations,
                tolerance=self.tolerance, inputs=loaded.inputs,
            )  # fmt: skip
        except ArithmeticError as error:
            raise RuntimeError(f"{self.model}: {error}") from error
        self._write(write_model(found.model, loaded.names))
        words = [f"log-likelihood {found.log_likelihood:.10g}", f"{found.iterations} iterations"]
        words += [] if found.gradient is None else [f"greatest derivative {found.gradient:.2g}"]
        words += ["converged" if found.converged else "not converged"]
        print("; ".join(words), file=sys.stderr)
        for name, errors in (found.errors or {}).items():
            held = getattr(found.model, name, None)
            held = getattr(found.model.emission, name) if held is None else held
            if name in ("initial", "transition"):
                held = found.model.start if name == "initial" else found.model.matrix
            for place in np.argwhere(errors > 0):
                label = f"{name}{[int(i) for i in place]}"
                print(f"{label} {held[tuple(place)]:.7g}, standard error {errors[tuple(place)]:.3g}", file=sys.stderr)
        return 0 if found.converged else 1


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A model and a series."""

    model: Any
    names: tuple[str, ...]
    seen: tuple[str, ...]
    x: ndarray
    y: ndarray
    inputs: ndarray | None
    label: str

    def observed(self) -> ndarray:
        """float64[T, p]: what was seen, NaN where nothing was."""
        y = self.y if self.y.ndim == 2 else self.y[:, None]
        return np.where(y < 0, np.nan, y.astype(np.float64)) if np.issubdtype(y.dtype, np.integer) else y


@dataclasses.dataclass(frozen=True)
class _Told:
    """A result: columns by name, each an estimate, or an estimate with the ends of its interval.

    Of a chain also the probabilities of states, those before a forecast, and the likeliest path.
    """

    x: ndarray
    columns: Columns
    states: ndarray | None
    seen: dict[str, Any] | None
    before: ndarray | None = None
    path: ndarray | None = None

    def panel(self, loaded: _Loaded, name: str, level: float, *band: ndarray) -> dict[str, Any]:
        """What is drawn of a column, with the middle half inside; before a forecast comes what was seen."""
        mean, low, high = band
        inner = None
        if level > 0.55:
            share = _quantile(0.5) / _quantile(level)
            inner = (mean - share * (mean - low), mean + share * (high - mean))
        seen = None if self.seen is None else self.seen[name]
        if seen is None or self.x[0] == loaded.x[0]:
            return {"x": self.x, "mean": mean, "low": low, "high": high, "inner": inner, "seen": seen}
        blank = np.full(len(seen), np.nan)
        mean, low, high = (np.concatenate([blank, held]) for held in band)
        inner = None if inner is None else (np.concatenate([blank, inner[0]]), np.concatenate([blank, inner[1]]))
        x, seen = np.concatenate([loaded.x, self.x]), np.concatenate([seen, np.full(len(self.x), np.nan)])
        return {"x": x, "mean": mean, "low": low, "high": high, "inner": inner, "seen": seen, "ahead": len(loaded.x)}

    def occupancy(self, loaded: _Loaded, seen: dict[str, ndarray]) -> dict[str, Any]:
        """What is drawn of a chain: observations, probabilities, the path."""
        if self.before is None or self.states is None:
            return {"x": self.x, "probability": self.states, "seen": seen, "path": self.path}
        blank = np.full(len(self.x), np.nan)
        return {
            "x": np.concatenate([loaded.x, self.x]),
            "probability": np.concatenate([self.before, self.states]),
            "seen": {name: np.concatenate([held, blank]) for name, held in seen.items()},
            "ahead": len(loaded.x),
        }

    def table(self, loaded: _Loaded) -> str:
        """As CSV; what is not determined is an empty cell."""
        names, columns = [loaded.label], [self.x]
        for name, parts in self.columns.items():
            names += [name, *(f"{name} {end}" for end in ("low", "high")[: len(parts) - 1])]
            columns += parts
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in np.stack(columns, axis=1).tolist():
            writer.writerow(["" if value != value else f"{value:.10g}" for value in row])
        return file.getvalue()


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _masks(model: Any) -> dict[str, Any]:
    """Q and R: a diagonal one stays diagonal, and what is 0 stays 0."""
    masks = {}
    for name in ("Q", "R"):
        held = getattr(model, name)
        diagonal = not (held - np.diag(np.diag(held))).any()
        if held.any():
            masks[name] = np.diag(np.diag(held) > 0) if diagonal else None
    return masks


def _counts(path: Path, y: ndarray, name: str) -> ndarray:
    """Whole numbers, -1 where missing."""
    bad = ~np.isnan(y) & ((y != np.floor(y)) | (y < 0) | (y > 2**53))
    if bad.any():
        t = int(np.argmax(bad))
        raise ValueError(f"{path}: row {t + 1}, column {name!r}: {float(y[t])!r} is no whole number from 0 on")
    return np.where(np.isnan(y), -1, y).astype(np.int64)


def _signal(loaded: _Loaded, mean: ndarray, covariance: ndarray) -> tuple[ndarray, ndarray]:
    """C x + D u, and its covariance."""
    C, D = loaded.model.C, loaded.model.D
    signal = mean @ C.T
    if D is not None:
        signal = signal + loaded.inputs @ D.T
    return signal, C @ covariance @ C.T


def _quantile(level: float) -> float:
    """Half-width of the central interval of that probability, in standard deviations."""
    from scipy import special

    return float(special.ndtri(0.5 + level / 2))


def _banded(names: Any, mean: ndarray, covariance: ndarray, level: float) -> Columns:
    width = _quantile(level) * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return {
        name: (mean[:, i], mean[:, i] - width[:, i], mean[:, i] + width[:, i]) for i, name in enumerate(names)
    }  # fmt: skip


def _expected(held: Any, seen: tuple[str, ...]) -> Columns:
    """Of a chain's observations: probabilities of symbols, or means."""
    if isinstance(held, ndarray):
        return {f"p({seen[0]}={o})": (held[:, o],) for o in range(held.shape[1])}
    mean = held.mean if held.mean.ndim == 2 else held.mean[:, None]
    return {f"mean of {name}": (mean[:, i],) for i, name in enumerate(seen)}
