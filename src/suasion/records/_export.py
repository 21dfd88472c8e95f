"""Metrics of a run for other tools: CSV, Parquet (extra `parquet`) and TensorBoard (extra `tensorboard`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suasion.records._disk import RecordError, write_whole
from suasion.records._run import read_run


def flattened(row: Mapping[str, Any]) -> dict[str, float | int | str | None]:
    """A row with an entry of its own for each entry of a list: `key[0]`, `key[1]`, ..."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, list):
            for index, entry in enumerate(value):
                flat |= flattened({f"{key}[{index}]": entry})
        else:
            flat[key] = value
    return flat


def export_csv(run: str | Path, path: str | Path) -> Path:
    """Write a run's metrics as CSV, a column for each key, empty where a row does not have it or it is undefined.

    Args:
        run: its directory.
        path: the file, whole or not written at all.

    Raises:
        RecordError: not a run, or one without rows.
        OSError: the disk refused.
    """
    rows = _rows(run)
    text = io.StringIO()
    writer = csv.DictWriter(text, _keys(rows), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: "" if value is None else _cell(value) for key, value in row.items()} for row in rows)
    write_whole(Path(path), [text.getvalue().encode()])
    return Path(path)


def export_parquet(run: str | Path, path: str | Path) -> Path:
    """Write a run's metrics as a Parquet table, null where a row does not have a key.

    Args:
        run: its directory.
        path: the file, whole or not written at all.

    Raises:
        RecordError: not a run, or one without rows; or pyarrow is not installed.
        OSError: the disk refused.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise RecordError("Parquet needs pyarrow: install suasion[parquet]") from error
    rows = _rows(run)
    table = pa.table({key: [row.get(key) for row in rows] for key in _keys(rows)})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    write_whole(Path(path), [sink.getvalue().to_pybytes()])
    return Path(path)


def export_tensorboard(run: str | Path, folder: str | Path) -> Path:
    """Write a run's metrics as a TensorBoard event file, at their environment steps.

    Args:
        run: its directory.
        folder: where the event file goes; made if need be.

    Raises:
        RecordError: not a run, or one without rows; or tensorboardX is not installed.
        OSError: the disk refused.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise RecordError("TensorBoard needs tensorboardX: install suasion[tensorboard]") from error
    rows = _rows(run)
    with SummaryWriter(logdir=str(folder)) as writer:
        for row in rows:
            for key, value in row.items():
                if key != "step" and isinstance(value, (int, float)) and not isinstance(value, bool):
                    writer.add_scalar(key, value, row["step"])
    return Path(folder)


def _rows(run: str | Path) -> list[dict[str, Any]]:
    rows = [flattened(row) for row in read_run(run).metrics]
    if not rows:
        raise RecordError(f"{run}: has no metrics yet")
    return rows


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All keys, in the order in which they first occur."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
