"""Handwritten digits, read pixel by pixel.

Letters of the shapes: b batch, n pictures, p pixels of a picture.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import zlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from suasion.records import read_bounded
from suasion.sequence._tasks import Batch, Task

PIXELS = 64
_GREATEST = 16.0  # a pixel of full ink
_LARGEST_FILE = 2**24  # bytes, unpacked
_HELD_OUT = 5  # every so manieth picture of a shuffled pack


class Digits(Task):
    """Pictures of digits as sequences of 64 pixels, row by row; after the last pixel the digit is asked for.

    Attributes:
        pictures: to learn from, ink from 0 to 1.
        labels: their digits.
        held: a fifth of all pictures, held out.
        held_labels: their digits.
        digest: SHA-256 of the numbers.

    References:
        Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits (UCI); its test set is in scikit-learn.
    """

    pictures: Float[Array, "n p"]
    labels: Int[Array, " n"]
    held: Float[Array, "_ p"]
    held_labels: Int[Array, " _"]
    digest: str = eqx.field(static=True)

    @staticmethod
    def read(path: Path | None = None) -> Digits:
        """The pictures in a file.

        Args:
            path: a line for each picture, 64 numbers from 0 to 16 and the digit, between commas; packed by gzip if it
                ends in .gz. The file that comes with scikit-learn if None; scikit-learn itself is not imported.

        Raises:
            ValueError: no scikit-learn, or a file that is missing or otherwise made, with the picture or line.
        """
        path = _of_scikit_learn() if path is None else path
        table = _table(path)
        bad = np.argwhere((table < 0) | (table > np.r_[np.full(PIXELS, _GREATEST), 9]) | (table != np.rint(table)))
        if len(bad):
            line, column = (int(i) for i in bad[0])
            what = "a digit" if column == PIXELS else "a pixel"
            raise ValueError(
                f"{path}: picture {line + 1}: {table[line, column]:g} in column {column + 1} is not {what}"
            )
        if len(table) < 2 * _HELD_OUT:
            raise ValueError(f"{path}: {len(table)} pictures: at least {2 * _HELD_OUT} are needed")
        return Digits.of(table[:, :-1] / _GREATEST, table[:, -1].astype(np.int32))

    @staticmethod
    def of(pictures: Float[np.ndarray, "n p"], labels: Int[np.ndarray, " n"]) -> Digits:
        """The task of pictures, shuffled and parted; equal pictures, equal parts."""
        order = np.random.default_rng(0).permutation(len(labels))
        ink, digit = pictures[order].astype(np.float32), labels[order].astype(np.int32)
        held = np.arange(len(labels)) % _HELD_OUT == 0
        return Digits(
            pictures=jnp.asarray(ink[~held]),
            labels=jnp.asarray(digit[~held]),
            held=jnp.asarray(ink[held]),
            held_labels=jnp.asarray(digit[held]),
            digest=hashlib.sha256(ink.tobytes() + digit.tobytes()).hexdigest(),
        )

    @property
    def inputs(self) -> int:
        """One pixel."""
        return 1

    @property
    def classes(self) -> int:
        """Ten digits."""
        return 10

    @property
    def symbols(self) -> bool:
        """Pixels are numbers."""
        return False

    @property
    def length(self) -> int:
        """Pixels."""
        return PIXELS

    def draw(self, key: Key[Array, ""], batch: int) -> Batch:
        """Pictures with replacement."""
        place = jax.random.randint(key, (batch,), 0, len(self.labels))
        return _read(self.pictures[place], self.labels[place])

    def held_out(self) -> Batch:
        """All that are held out."""
        return _read(self.held, self.held_labels)

    def to_json(self) -> dict[str, Any]:
        """What tells these pictures from any others."""
        return {"name": "digits", "pictures": len(self.labels) + len(self.held_labels), "sha256": self.digest}


def _read(pictures: Float[Array, "b p"], labels: Int[Array, " b"]) -> Batch:
    last = jnp.arange(PIXELS)[:, None] == PIXELS - 1
    return Batch(pictures.T[..., None], jnp.where(last, labels[None], 0), jnp.tile(last, (1, len(labels))))


def _of_scikit_learn() -> Path:
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise ValueError(
            "the digits are a file of scikit-learn, which is not installed: install scikit-learn, or name the file "
            "(digits.csv.gz)"
        )
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _table(path: Path) -> Float[np.ndarray, "n 65"]:
    """All numbers of a file."""
    content = bytes(read_bounded(path, _LARGEST_FILE))
    if path.suffix == ".gz":
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(_LARGEST_FILE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: is no gzip file, or a part of one: {error}") from error
        if len(content) > _LARGEST_FILE:
            raise ValueError(f"{path}: more than {_LARGEST_FILE:,} bytes when unpacked")
    if not content.strip():
        raise ValueError(f"{path}: is empty")
    try:
        table = np.loadtxt(io.StringIO(content.decode("ascii")), delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if table.shape[1] != PIXELS + 1 or not np.isfinite(table).all():
        raise ValueError(f"{path}: {table.shape[1]} columns: must be {PIXELS} pixels and a digit, all finite")
    return table
