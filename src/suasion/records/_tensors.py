"""Named arrays as bytes, in the safetensors format; a strict parser that never trusts a size.

Layout: 8 bytes little-endian length of the table, the table (JSON, padded by spaces), the arrays one after
the other. Ours are sorted by item size, then name, so every array starts at a multiple of its item size and
reads need no copy.

`encode` and `decode` are for the inside of our own envelopes. `write_tensors` and `read_tensors` are for whole
files that other programs read and write: these may hold a word about themselves (`__metadata__`), arrays at odd
places, and bfloat16.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from suasion.records import _json
from suasion.records._disk import RecordError, open_regular, read_exactly, write_whole

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
_ABROAD = DTYPES | {"BF16": np.dtype("<u2")}  # as its bits: NumPy has no such type
LONGEST_TABLE = 4 * 2**20  # bytes; some 40,000 arrays. A bound on what parsing a table may allocate.
_MOST_AXES = 32
_METADATA = "__metadata__"


def encode(
    arrays: Mapping[str, np.ndarray], place: str, metadata: Mapping[str, str] | None = None
) -> list[bytes | memoryview]:
    """The pieces of a safetensors file; nothing but non-contiguous or byte-swapped arrays is copied.

    Raises:
        RecordError: an unsupported dtype, too many axes, a name that is no text, or too many names.
    """
    plain = {name: _plain(name, array, place) for name, array in arrays.items()}
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    table: dict[str, Any] = {} if metadata is None else {_METADATA: dict(metadata)}
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
    table = _table(content[8 : 8 + length], place)
    body = content[8 + length :]
    arrays = {}
    for entry in _placed(table, len(body), place, DTYPES):
        where = f"{place}: array {_quoted(entry.name)}"
        if entry.begin % entry.dtype.itemsize:
            raise RecordError(f"{where} starts at byte {entry.begin}: not a multiple of {entry.dtype.itemsize}")
        arrays[entry.name] = _view(body[entry.begin : entry.end], entry, where)
    return {name: arrays[name] for name in table}


def write_tensors(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file for other programs: whole or not at all, equal arrays give equal bytes.

    Args:
        path: the file; an old one is replaced.
        arrays: as for `write_envelope`.
        metadata: what the file says of itself; some readers ask for `format`.

    Raises:
        RecordError: an array or a text that cannot be written, named.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    write_whole(path, encode(arrays, str(path), metadata))


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a safetensors file of any writer; what it says of itself is checked and left out.

    The table is read and compared with the file's size before memory is taken for the arrays: of a file that lies no
    more than the table is held. Arrays of bfloat16 come as float32, exactly. They take twice their size; all others
    share one buffer of the file's size.

    Args:
        path: the file.

    Returns:
        The arrays by name, read-only, in the order of the table.

    Raises:
        RecordError: missing, not safetensors, truncated, with sizes that do not add up, gaps, overlaps, or arrays
            of types that NumPy has not; no other exception.
    """
    place = str(path)
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = 0 if size < 8 else struct.unpack("<Q", read_exactly(file, path, 8))[0]
        if not 2 <= length <= min(LONGEST_TABLE, size - 8):
            raise RecordError(f"{place}: not safetensors: a table of {length} bytes in {size}; limit {LONGEST_TABLE}")
        table = _table(read_exactly(file, path, length), place)
        words = table.pop(_METADATA, {})
        if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
            raise RecordError(f"{place}: {_METADATA} must be an object of texts")
        room = size - 8 - length
        entries = list(_placed(table, room, place, _ABROAD))
        body = memoryview(read_exactly(file, path, room)).toreadonly()
    arrays = {each.name: _abroad(body, each, f"{place}: array {_quoted(each.name)}") for each in entries}
    return {name: arrays[name] for name in table}


def _abroad(body: memoryview, entry: "Entry", where: str) -> np.ndarray:
    """An array of a foreign file: bfloat16 widened, and aligned."""
    array = _view(body[entry.begin : entry.end], entry, where)
    if entry.code == "BF16":
        wide = array.astype("<u4")
        wide <<= 16  # a bfloat16 is the upper half of a float32
        array = wide.view("<f4")
    elif not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array


def _plain(name: Any, array: Any, place: str) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise RecordError(f"{place}: {_quoted(name)} is a {type(array).__name__}, not a NumPy array")
    dtype = array.dtype.newbyteorder("<") if array.dtype.kind in "buif" else array.dtype
    if dtype not in _CODES or name == _METADATA:
        raise RecordError(f"{place}: array {_quoted(name)} of {array.dtype}: not among {', '.join(_CODES.values())}")
    if array.ndim > _MOST_AXES:
        raise RecordError(f"{place}: array {_quoted(name)} has {array.ndim} axes; limit {_MOST_AXES}")
    return np.asarray(array, dtype=dtype, order="C")


def _table(content: bytearray | memoryview, place: str) -> dict[str, Any]:
    table = _json.decode(content, f"{place}: table of arrays")
    if not isinstance(table, dict):
        raise RecordError(f"{place}: the table of arrays is a {type(table).__name__}")
    return table


class Entry(NamedTuple):
    """Where an array lies, in bytes of the body, and what it is."""

    name: str
    code: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def _placed(table: dict[str, Any], room: int, place: str, dtypes: Mapping[str, np.dtype]) -> Iterator[Entry]:
    """The entries one after the other as they lie; together they are `room` bytes, without gap or overlap."""
    offset = 0
    for entry in sorted(_entries(table, place, dtypes), key=lambda entry: (entry.begin, entry.end)):
        where = f"{place}: array {_quoted(entry.name)}"
        if entry.begin != offset:
            raise RecordError(f"{where} starts at byte {entry.begin}, not {offset}: gap or overlap")
        if entry.end > room:
            raise RecordError(f"{where} ends at byte {entry.end} of {room}")
        yield entry
        offset = entry.end
    if offset != room:
        raise RecordError(f"{place}: {room - offset} bytes belong to no array")


def _entries(table: dict[str, Any], place: str, dtypes: Mapping[str, np.dtype]) -> Iterator[Entry]:
    for name, entry in table.items():
        where = f"{place}: array {_quoted(name)}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise RecordError(f"{where}: its entry must hold dtype, shape and data_offsets, and nothing else")
        code, shape, ends = entry["dtype"], entry["shape"], entry["data_offsets"]
        dtype = dtypes.get(code) if isinstance(code, str) else None
        if dtype is None:
            raise RecordError(f"{where}: dtype {str(code)[:40]!r} is not among {', '.join(dtypes)}")
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
        yield Entry(name, code, dtype, tuple(shape), ends[0], ends[1])


def _view(content: memoryview, entry: Entry, where: str) -> np.ndarray:
    flat: np.ndarray = np.frombuffer(content, np.uint8)
    if entry.dtype.kind == "b" and flat.size and flat.max() > 1:
        raise RecordError(f"{where}: a boolean of value {flat.max()}")
    try:
        array = flat.view(entry.dtype).reshape(entry.shape)
    except ValueError as error:  # no elements, but axes beyond what NumPy can address
        raise RecordError(f"{where}: shape {str(list(entry.shape))[:80]}: {error}") from error
    array.flags.writeable = False
    return array


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _quoted(name: Any) -> str:
    text = repr(name)
    return text if len(text) <= 80 else text[:77] + "..."
