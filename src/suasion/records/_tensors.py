"""Named arrays as bytes, in the safetensors format; a strict parser that never trusts a size.

Layout: 8 bytes little-endian length of the table, the table (JSON, padded by spaces), the arrays one after
the other. Ours are sorted by item size, then name, so every array starts at a multiple of its item size and
reads need no copy.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from suasion.records import _json
from suasion.records._disk import RecordError

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
LONGEST_TABLE = 4 * 2**20  # bytes; some 40,000 arrays. A bound on what parsing a table may allocate.
_MOST_AXES = 32


def encode(arrays: Mapping[str, np.ndarray], place: str) -> list[bytes | memoryview]:
    """The pieces of a safetensors file; nothing but non-contiguous or byte-swapped arrays is copied.

    Raises:
        RecordError: an unsupported dtype, too many axes, a name that is no text, or too many names.
    """
    plain = {name: _plain(name, array, place) for name, array in arrays.items()}
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    table: dict[str, Any] = {}
    offset = 0
    for name in order:
        array = plain[name]
        ends = [offset, offset + array.nbytes]
        table[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": ends}
        offset = ends[1]
    header = _json.encode(table, f"{place}: names of arrays")
    header += b" " * (-len(header) % 8)
    if len(header) > LONGEST_TABLE:
        raise RecordError(f"{place}: a table of {len(header)} bytes for {len(table)} arrays; limit {LONGEST_TABLE}")
    return [
        struct.pack("<Q", len(header)),
        header,
        *(plain[name].reshape(-1).view(np.uint8).data for name in order),
    ]


def decode(content: memoryview, place: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, as read-only views of `content`: nothing is copied.

    Args:
        content: the whole file; starts at a multiple of 8 bytes in memory.
        place: for messages.

    Raises:
        RecordError: anything that `encode` would not write: sizes that do not add up, gaps, overlaps, other
            dtypes, misaligned arrays, booleans other than 0 and 1.
    """
    if len(content) < 8:
        raise RecordError(f"{place}: {len(content)} bytes of arrays; at least 8 are needed")
    (length,) = struct.unpack_from("<Q", content)
    if length > min(LONGEST_TABLE, len(content) - 8):
        raise RecordError(f"{place}: a table of {length} bytes in {len(content)}; limit {LONGEST_TABLE}")
    table = _json.decode(content[8 : 8 + length], f"{place}: table of arrays")
    if not isinstance(table, dict):
        raise RecordError(f"{place}: the table of arrays is a {type(table).__name__}")
    body = content[8 + length :]
    arrays = {}
    offset = 0
    for name, dtype, shape, begin, end in sorted(_entries(table, place), key=lambda entry: (entry[3], entry[4])):
        if begin != offset:
            raise RecordError(f"{place}: array {_quoted(name)} starts at byte {begin}, not {offset}: gap or overlap")
        if begin % dtype.itemsize:
            raise RecordError(
                f"{place}: array {_quoted(name)} starts at byte {begin}: not a multiple of {dtype.itemsize}"
            )
        if end > len(body):
            raise RecordError(f"{place}: array {_quoted(name)} ends at byte {end} of {len(body)}")
        arrays[name] = _view(body[begin:end], dtype, shape, f"{place}: array {_quoted(name)}")
        offset = end
    if offset != len(body):
        raise RecordError(f"{place}: {len(body) - offset} bytes belong to no array")
    return {name: arrays[name] for name in table}


def _plain(name: Any, array: Any, place: str) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise RecordError(f"{place}: {_quoted(name)} is a {type(array).__name__}, not a NumPy array")
    dtype = array.dtype.newbyteorder("<") if array.dtype.kind in "buif" else array.dtype
    if dtype not in _CODES or name == "__metadata__":
        raise RecordError(f"{place}: array {_quoted(name)} of {array.dtype}: not among {', '.join(_CODES.values())}")
    if array.ndim > _MOST_AXES:
        raise RecordError(f"{place}: array {_quoted(name)} has {array.ndim} axes; limit {_MOST_AXES}")
    return np.asarray(array, dtype=dtype, order="C")


Entry = tuple[str, np.dtype, tuple[int, ...], int, int]


def _entries(table: dict[str, Any], place: str) -> Iterator[Entry]:
    for name, entry in table.items():
        where = f"{place}: array {_quoted(name)}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise RecordError(f"{where}: its entry must hold dtype, shape and data_offsets, and nothing else")
        dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
        if dtype is None:
            raise RecordError(f"{where}: dtype {str(entry['dtype'])[:40]!r} is not among {', '.join(DTYPES)}")
        shape, ends = entry["shape"], entry["data_offsets"]
        if not _naturals(shape) or len(shape) > _MOST_AXES:
            raise RecordError(f"{where}: shape {str(shape)[:80]} must be at most {_MOST_AXES} sizes >= 0")
        if not _naturals(ends) or len(ends) != 2:
            raise RecordError(f"{where}: data_offsets {str(ends)[:80]} must be two numbers >= 0")
        # Python's integers: a product of hostile sizes cannot wrap around.
        size = math.prod(shape) * dtype.itemsize
        if size != ends[1] - ends[0]:
            raise RecordError(
                f"{where}: shape {str(shape)[:80]} takes {size} bytes, its place holds {ends[1] - ends[0]}"
            )
        yield name, dtype, tuple(shape), ends[0], ends[1]


def _view(content: memoryview, dtype: np.dtype, shape: tuple[int, ...], where: str) -> np.ndarray:
    flat: np.ndarray = np.frombuffer(content, np.uint8)
    if dtype.kind == "b" and flat.size and flat.max() > 1:
        raise RecordError(f"{where}: a boolean of value {flat.max()}")
    try:
        array = flat.view(dtype).reshape(shape)
    except ValueError as error:  # no elements, but axes beyond what NumPy can address
        raise RecordError(f"{where}: shape {str(list(shape))[:80]}: {error}") from error
    array.flags.writeable = False
    return array


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _quoted(name: Any) -> str:
    text = repr(name)
    return text if len(text) <= 80 else text[:77] + "..."
