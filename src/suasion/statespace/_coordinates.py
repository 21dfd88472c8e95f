r"""Free coordinates of a model's parameters: numbers without constraints, for a search by gradients.

Coefficients are their own coordinates. A covariance is $L L^T$ with $\log L_{ii}$ and $L_{ij}$, $i > j$ (or the logs of
variances, where only these are free), a distribution is the softmax of its positive entries' logs less that of its
greatest, a rate its log.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

Label = tuple[Any, ...]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Part(abc.ABC):
    """Coordinates of one parameter; abstract.

    Attributes:
        name: of the parameter.
        held: where the search starts.
        free: entries that are free, bool like `held`.
    """

    name: str
    held: ndarray
    free: ndarray

    @property
    @abc.abstractmethod
    def labels(self) -> list[Label]:
        """Name and place of each coordinate."""

    @property
    def unit(self) -> int:
        """Least length of a label's beginning that can be tied: what it names are whole blocks of coordinates."""
        return 1 + self.held.ndim

    @abc.abstractmethod
    def read(self) -> ndarray:
        """Coordinates of the start."""

    @abc.abstractmethod
    def write(self, at: ndarray) -> ndarray:
        """The parameter at these coordinates."""

    @abc.abstractmethod
    def pull(self, derivative: ndarray, at: ndarray) -> ndarray:
        """Derivatives by coordinates, from those by entries."""


class Entries(Part):
    """Coefficients."""

    @property
    def labels(self) -> list[Label]:
        """One for each free entry."""
        return [(self.name, *(int(i) for i in place)) for place in np.argwhere(self.free)]

    def read(self) -> ndarray:
        """Entries."""
        return self.held[self.free]

    def write(self, at: ndarray) -> ndarray:
        """Entries put in."""
        out = self.held.copy()
        out[self.free] = at
        return out

    def pull(self, derivative: ndarray, at: ndarray) -> ndarray:
        """The same."""
        return derivative[self.free]


class Logs(Entries):
    """Rates, and variances that nothing is correlated with."""

    def read(self) -> ndarray:
        """Logs."""
        if not (self.held[self.free] > 0).all():
            place = [int(i) for i in np.argwhere(self.free & ~(self.held > 0))[0]]
            raise ValueError(f"{self.name}{place} is 0, and free: start from a positive one")
        return np.log(self.held[self.free])

    def write(self, at: ndarray) -> ndarray:
        """Exponentials put in."""
        return super().write(np.exp(at))

    def pull(self, derivative: ndarray, at: ndarray) -> ndarray:
        """Times the number itself."""
        return derivative[self.free] * np.exp(at)


class Covariances(Part):
    """A covariance, or several with a leading axis, by log-Cholesky."""

    @property
    def labels(self) -> list[Label]:
        """One for each entry of the lower triangle."""
        lower = np.broadcast_to(np.tri(self.held.shape[-1], dtype=bool), self.held.shape)
        return [(self.name, *(int(i) for i in place)) for place in np.argwhere(lower)]

    @property
    def unit(self) -> int:
        """Whole matrices."""
        return self.held.ndim - 1

    def read(self) -> ndarray:
        """Of the Cholesky root."""
        try:
            root = np.linalg.cholesky(self.held)
        except np.linalg.LinAlgError:
            raise ValueError(f"{self.name} is singular, and free: start from a positive definite one") from None
        i = np.arange(root.shape[-1])
        root[..., i, i] = np.log(root[..., i, i])
        return root[..., np.tri(len(i), dtype=bool)].ravel()

    def _root(self, at: ndarray) -> ndarray:
        n = self.held.shape[-1]
        root = np.zeros(self.held.shape)
        root[..., np.tri(n, dtype=bool)] = at.reshape(*self.held.shape[:-2], -1)
        root[..., np.arange(n), np.arange(n)] = np.exp(root[..., np.arange(n), np.arange(n)])
        return root

    def write(self, at: ndarray) -> ndarray:
        """Its square."""
        root = self._root(at)
        return root @ np.swapaxes(root, -1, -2)

    def pull(self, derivative: ndarray, at: ndarray) -> ndarray:
        """By the root, 2 G L; its diagonal once more."""
        root = self._root(at)
        out = 2 * derivative @ root
        i = np.arange(root.shape[-1])
        out[..., i, i] *= root[..., i, i]
        return out[..., np.tri(len(i), dtype=bool)].ravel()


class Distributions(Part):
    """Distributions on the last axis; zeros stay zeros."""

    @property
    def _moving(self) -> ndarray:
        """Entries with a coordinate: all positive ones but the greatest of each distribution."""
        best = np.arange(self.held.shape[-1]) == self.held.argmax(-1)[..., None]
        return (self.held > 0) & ~best & self.free

    @property
    def labels(self) -> list[Label]:
        """One for each of these."""
        return [(self.name, *(int(i) for i in place)) for place in np.argwhere(self._moving)]

    @property
    def unit(self) -> int:
        """Whole distributions."""
        return self.held.ndim

    def read(self) -> ndarray:
        """Logs less that of the greatest."""
        top = np.broadcast_to(self.held.max(-1, keepdims=True), self.held.shape)
        return np.log(self.held[self._moving]) - np.log(top[self._moving])

    def write(self, at: ndarray) -> ndarray:
        """Softmax."""
        logs = np.where(self.held > 0, 0.0, -np.inf)
        logs[self._moving] = at
        out = np.exp(logs - logs.max(-1, keepdims=True))
        out /= out.sum(-1, keepdims=True)
        return np.where(self.free, out, self.held)

    def pull(self, derivative: ndarray, at: ndarray) -> ndarray:
        """p_j (g_j - sum of p g)."""
        p = self.write(at)
        return (p * (derivative - (p * derivative).sum(-1, keepdims=True)))[self._moving]


COVARIANCES = ("Q", "R", "P0", "covariance")
DISTRIBUTIONS = ("initial", "transition", "probability")


def part(name: str, held: ndarray, mask: Any) -> Part:
    """The coordinates of a parameter; `mask` says which entries are free, None that all are.

    Raises:
        ValueError: the mask has another shape, or frees what cannot be free without the rest; which.
    """
    free = np.ones(held.shape, bool) if mask is None else np.asarray(mask, bool)
    if free.shape != held.shape:
        raise ValueError(f"free[{name!r}] is {list(free.shape)}, not {list(held.shape)}")
    inputs: dict[str, Any] = {"name": name, "held": np.array(held, np.float64), "free": free}
    if name == "rate":
        return Logs(**inputs)
    if name in DISTRIBUTIONS:
        if (free.any(-1) != free.all(-1)).any():
            raise ValueError(f"free[{name!r}] frees part of a distribution: all of its entries, or none")
        return Distributions(**inputs)
    if name not in COVARIANCES:
        return Entries(**inputs)
    if free.all():
        return Covariances(**inputs)
    diagonal = np.broadcast_to(np.eye(held.shape[-1], dtype=bool), held.shape)
    rows = (free & diagonal).any(-1)
    if (free & ~diagonal).any() or (held[rows] * ~diagonal[rows]).any():
        raise ValueError(f"free[{name!r}] must be all entries, or variances that nothing is correlated with")
    return Logs(**inputs)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Coordinates:
    """Coordinates of several parameters, some of them shared.

    Attributes:
        parts: of each parameter.
        place: of each part's coordinates, one behind the other, the number of the free coordinate.
        start: free coordinates where the search starts.
    """

    parts: tuple[Part, ...]
    place: ndarray
    start: ndarray

    def write(self, at: ndarray) -> dict[str, ndarray]:
        """Parameters by name."""
        return {part.name: part.write(held) for part, held in self._split(at)}

    def pull(self, derivative: Mapping[str, ndarray], at: ndarray) -> ndarray:
        """Derivatives by free coordinates: what is shared adds up."""
        parts = [part.pull(derivative[part.name], held) for part, held in self._split(at)]
        return np.bincount(self.place, np.concatenate(parts), len(self.start))

    def _split(self, at: ndarray) -> list[tuple[Part, ndarray]]:
        ends = np.cumsum([len(part.labels) for part in self.parts])
        return list(zip(self.parts, np.split(at[self.place], ends[:-1]), strict=True))


def coordinates(parts: Sequence[Part], tied: Sequence[Sequence[Label]]) -> Coordinates:
    """Coordinates of all parts; blocks of a group in `tied` are shared.

    Raises:
        ValueError: a label names nothing that is free or part of a block, or blocks differ in size or at the start.
    """
    labels = [(label, part.unit) for part in parts for label in part.labels]
    values = np.concatenate([part.read() for part in parts])
    owner = np.arange(len(labels))
    for group in tied:
        blocks = [_block(labels, tuple(one)) for one in group]
        for one, block in zip(group[1:], blocks[1:], strict=True):
            if len(block) != len(blocks[0]):
                raise ValueError(f"{tuple(one)} has {len(block)} coordinates, and {tuple(group[0])} {len(blocks[0])}")
            if not np.allclose(values[block], values[blocks[0]], rtol=1e-9, atol=1e-12):
                raise ValueError(f"{tuple(one)} and {tuple(group[0])} are tied, and differ at the start")
            for i, j in zip(block, blocks[0], strict=True):
                owner[owner == owner[i]] = owner[j]
    kept, place = np.unique(owner, return_inverse=True)
    return Coordinates(parts=tuple(parts), place=place, start=values[kept])


def _block(labels: list[tuple[Label, int]], start: Label) -> list[int]:
    found = [i for i, (label, _) in enumerate(labels) if label[: len(start)] == start]
    if not found:
        raise ValueError(f"tied holds {start}, which names no free coordinates")
    if len(start) > labels[found[0]][1]:
        raise ValueError(f"tied holds {start}, part of what is free only as a whole")
    return found
