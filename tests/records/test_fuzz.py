"""Mutated valid files: only RecordError escapes, and what still reads is what could have been written.

2,000 files for each reader. The mutations of envelopes are sealed again with a right digest, so that they
reach the parsers behind it; flips that keep the old digest are in test_envelope.py.
"""

import hashlib
import struct

import numpy as np
import pytest

from suasion.records import (
    MetricsWriter,
    RecordError,
    create_run,
    newest_checkpoint,
    read_envelope,
    read_episode,
    read_metrics,
    read_run,
    save_checkpoint,
    write_episode,
)

FILES = 2000
TOKENS = [
    b"0",
    b"-1",
    b"1e999",
    b"9999999999999999999",
    b"null",
    b"true",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b":",
]
TOKENS += [b"\\ud800", b"\xff", b"\0", b"\n", b"NaN", b'"step"', b'"F64"', b"[[[[", b"4294967296"]


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """One to four edits: flip, cut, repeat, delete, insert a token, write over by a token or a number."""
    bad = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(0, len(bad) + 1))
        other = min(len(bad), place + int(rng.integers(1, 30)))
        token = TOKENS[rng.integers(0, len(TOKENS))]
        match rng.integers(0, 7):
            case 0 if place < len(bad):
                bad[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del bad[place:other]
            case 2:
                bad[place:place] = bad[place:other]
            case 3:
                bad[place:place] = token
            case 4:
                bad[place : place + len(token)] = token
            case 5:
                bad[place : place + 8] = struct.pack("<Q", int(rng.integers(0, 2**63)) >> int(rng.integers(0, 63)))
            case _ if rng.random() < 0.1:
                del bad[place:]
    return bytes(bad)


def sealed(rng: np.random.Generator, content: bytes) -> bytes:
    """A mutation of header, table or arrays, with lengths and digest put right (mostly)."""
    header, length = struct.unpack_from("<IQ", content, 12)
    label, arrays = content[24 : 24 + header], content[24 + header : 24 + header + length]
    (table,) = struct.unpack_from("<Q", arrays)
    target = rng.integers(0, 4)
    if target == 0:
        label = mutated(rng, label)
    elif target == 1:
        text = mutated(rng, arrays[8 : 8 + table])
        text += b" " * (-len(text) % 8)
        arrays = struct.pack("<Q", len(text)) + text + arrays[8 + table :]
    elif target == 2:
        arrays = arrays[: 8 + table] + mutated(rng, arrays[8 + table :])
    else:
        arrays = mutated(rng, arrays)
    label += b" " * (-len(label) % 8)
    body = content[:12] + struct.pack("<IQ", len(label), len(arrays)) + label + arrays
    return body + hashlib.sha256(body).digest()


def hunt(path, mutate, read, seed):
    """How many of the mutated files were refused; any exception but RecordError fails the test."""
    rng = np.random.default_rng(seed)
    content = path.read_bytes()
    refused = 0
    for _ in range(FILES):
        path.write_bytes(mutate(rng, content))
        try:
            read(path)
        except RecordError:
            refused += 1
    path.write_bytes(content)
    read(path)
    return refused


@pytest.fixture
def checkpoint(tmp_path):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([True, False]),
        "c": np.zeros((0, 3)),
    }
    return save_checkpoint(tmp_path, 7, arrays, {"offset": 12, "text": "größe", "list": [1, 2.5, None, True]})


def test_checkpoints(checkpoint):
    def read(path):
        found = newest_checkpoint(path.parent)
        assert found.step == 7

    assert hunt(checkpoint, mutated, read, seed=1) > 0.9 * FILES
    assert hunt(checkpoint, sealed, read, seed=2) > 0.5 * FILES


def test_envelopes_that_still_read_are_whole(checkpoint):
    def read(path):
        found = read_envelope(path, "checkpoint")
        assert sum(array.nbytes for array in found.arrays.values()) < path.stat().st_size

    assert hunt(checkpoint, sealed, read, seed=3) > 0.5 * FILES


def test_episodes(tmp_path, episode):
    path = tmp_path / "episode"
    write_episode(path, episode(steps=2))
    assert hunt(path, sealed, read_episode, seed=4) > 0.5 * FILES


def test_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        for step in range(4):
            writer.append({"step": step, "x": step / 3, "list": [1.0, None, [2]], "bad": float("nan")})

    def read(path):
        assert all(row["step"] >= 0 for row in read_metrics(path).rows)

    assert hunt(path, mutated, read, seed=5) > 0.3 * FILES


def test_configurations(tmp_path):
    run = create_run(tmp_path / "run", {"a": [1, 2.5, None], "text": "größe", "inner": {"x": True}}, {"v": "1"})
    assert hunt(run.config, mutated, lambda path: read_run(path.parent), seed=6) > 0.3 * FILES
