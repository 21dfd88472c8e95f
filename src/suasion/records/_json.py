"""Strict JSON: what is written reads back equal, what is read is finite, unambiguous and shallow."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from suasion.records._disk import RecordError, read_bounded, write_whole

DEEPEST = 64
LONGEST = 4 * 2**20  # bytes of a file
LARGEST = 2**64 - 1  # seeds are unsigned, 64 bits
SMALLEST = -(2**63)


def encode(value: Any, place: str) -> bytes:
    """UTF-8 JSON with sorted keys and no white space: equal values give equal bytes.

    Args:
        value: dicts with string keys, lists, tuples (read back as lists), strings, finite floats, integers of
            64 bits, booleans, None; nested at most 64 deep.
        place: what the value is, for messages.

    Raises:
        RecordError: anything else, naming the place.
    """
    _check(value, place, 0)
    text = json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def encode_readable(value: Any) -> bytes:
    """Indented JSON in the order given, for files that people open; `value` has passed `encode`."""
    return json.dumps(value, allow_nan=False, indent=2, ensure_ascii=False).encode() + b"\n"


def decode(content: bytes | bytearray | memoryview, place: str) -> Any:
    """The value of strict JSON: no key twice, no NaN, no number out of range, at most 64 deep.

    Raises:
        RecordError: anything else, naming `place`, and line and column where known.
    """
    try:
        text = str(content, "utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
        # Only what can be wrong is walked: most texts are shallow and hold no escapes (lone surrogates).
        if text.count("[") + text.count("{") > DEEPEST or "\\u" in text:
            _check(value, "value", 0)
    except RecursionError as error:
        raise RecordError(f"{place}: JSON nested more than {DEEPEST} deep") from error
    except ValueError as error:
        raise RecordError(f"{place}: not acceptable JSON: {error}") from error
    return value


def read_json(path: str | Path) -> Any:
    """The value of a file of strict JSON, of at most 4 MiB: no key twice, no NaN, at most 64 deep.

    Raises:
        RecordError: missing, too long, or anything else; no other exception.
    """
    return decode(read_bounded(path, LONGEST), str(path))


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON for people: indented, in the order given; whole or not at all.

    Raises:
        RecordError: a value that cannot be written, or too long a text.
        OSError: the disk refused; then an older file of that name is untouched.
    """
    encode(value, str(path))
    text = encode_readable(value)
    if len(text) > LONGEST:
        raise RecordError(f"{path}: {len(text)} bytes; limit {LONGEST}")
    write_whole(path, [text])


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """One line for each place where two JSON values differ: `learner.rate: 0.001 / 0.002`."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in sorted(old.keys() | new.keys()):
            inner = f"{place}.{key}" if place else key
            lines += differences(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)
        return lines
    # 1, 1.0 and true are equal in Python, but not on disk.
    if _shown(old) == _shown(new):
        return []
    return [f"{place or 'value'}: {_short(old)} / {_short(new)}"]


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, _Absent) else encode(value, "value").decode()


def _short(value: Any) -> str:
    text = _shown(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _check(value: Any, place: str, depth: int) -> None:
    if depth > DEEPEST:
        raise RecordError(f"{place}: nested more than {DEEPEST} deep")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, int):
        if not SMALLEST <= value <= LARGEST:
            raise RecordError(f"{place}: an integer of {value.bit_length()} bits; at most 64 fit")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(f"{place} is {value}: not finite")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            _check(entry, f"{place}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise RecordError(f"{place}: the key {key!r} is a {type(key).__name__}, not a string")
            _check_text(key, place)
            _check(entry, f"{place}.{key}", depth + 1)
    else:
        raise RecordError(f"{place} is a {type(value).__module__}.{type(value).__name__}: not a JSON value")


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecordError(f"{place}: a lone surrogate at character {error.start}: not Unicode text") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} comes twice")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _integer(text: str) -> int:
    # The length first: Python refuses, or takes long over, integers of thousands of digits.
    if len(text) > 20 or not SMALLEST <= (value := int(text)) <= LARGEST:
        raise ValueError(f"the integer {text[:40]} does not fit into 64 bits")
    return value
