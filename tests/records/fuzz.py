"""Mutates valid files and reads them, as a process of its own with a limit on memory.

    python fuzz.py [READER ...] --files N --seed S --mib M

READER is checkpoint, episode, counterfactuals, metrics, configuration or map. Only the reader's own error may escape:
any other ends the program with a traceback, and so does an allocation of half a gibibyte more than M MiB beyond what
the process held at the start (threads that libraries start late reserve addresses); what is touched is told, and the
tests hold it to M.
The mutations of envelopes are sealed again with a right digest, so that they reach the parsers behind it (flips that
keep the old digest are in test_envelope.py). Prints JSON: how many files were read, and how many refused.
"""

import argparse
import hashlib
import json
import os
import resource
import struct
import tempfile
import time
from pathlib import Path

import numpy as np

from suasion.records import (
    Episode,
    MetricsWriter,
    RecordError,
    create_run,
    newest_checkpoint,
    read_counterfactuals,
    read_episode,
    read_metrics,
    read_run,
    save_checkpoint,
    write_counterfactuals,
    write_episode,
)

RESERVED = 1 << 29  # bytes of addresses that a thread may reserve and not touch
RAM = Path("/dev/shm")  # where there is one: a disk may be slow
TOKENS = [b"0", b"-1", b"1e999", b"9999999999999999999", b"null", b"true", b"[", b"]", b"{", b"}", b'"', b",", b":"]
TOKENS += [b"\\ud800", b"\xff", b"\0", b"\n", b"NaN", b'"step"', b'"F64"', b"[[[[", b"4294967296", b"1000000000000"]
TOKENS += [b"game: ", b"../../", b"@@@@", b"P", b"A"]


class Chance:
    """Random numbers by the thousand: one at a time they would take most of the time."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.left = iter(())

    def below(self, n):
        """A whole number, 0 to n - 1."""
        return self.bits() % n

    def bits(self):
        """63 of them."""
        try:
            return next(self.left)
        except StopIteration:
            self.left = iter(self.rng.integers(0, 2**63, 4096).tolist())
            return next(self.left)


def mutated(chance, content):
    """One to four edits: flip, cut, repeat, delete, insert a token, write over by a token or a number."""
    bad = bytearray(content)
    for _ in range(1 + chance.below(4)):
        place = chance.below(len(bad) + 1)
        other = min(len(bad), place + 1 + chance.below(29))
        token = TOKENS[chance.below(len(TOKENS))]
        match chance.below(7):
            case 0 if place < len(bad):
                bad[place] ^= 1 << chance.below(8)
            case 1:
                del bad[place:other]
            case 2:
                bad[place:place] = bad[place:other]
            case 3:
                bad[place:place] = token
            case 4:
                bad[place : place + len(token)] = token
            case 5:
                bad[place : place + 8] = struct.pack("<Q", chance.bits() >> chance.below(63))
            case _ if chance.below(10) == 0:
                del bad[place:]
    return bytes(bad)


def sealed(chance, content):
    """A mutation of header, table or arrays, with lengths and digest put right; of every tenth file of anything."""
    if chance.below(10) == 0:
        return mutated(chance, content)
    header, length = struct.unpack_from("<IQ", content, 12)
    label, arrays = content[24 : 24 + header], content[24 + header : 24 + header + length]
    (table,) = struct.unpack_from("<Q", arrays)
    match chance.below(4):
        case 0:
            label = mutated(chance, label)
        case 1:
            text = mutated(chance, arrays[8 : 8 + table])
            text += b" " * (-len(text) % 8)
            arrays = struct.pack("<Q", len(text)) + text + arrays[8 + table :]
        case 2:
            arrays = arrays[: 8 + table] + mutated(chance, arrays[8 + table :])
        case _:
            arrays = mutated(chance, arrays)
    label += b" " * (-len(label) % 8)
    body = content[:12] + struct.pack("<IQ", len(label), len(arrays)) + label + arrays
    return body + hashlib.sha256(body).digest()


def _checkpoint(folder):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False]), "c": np.zeros((0, 3))}
    path = save_checkpoint(folder, 7, arrays, {"offset": 12, "text": "größe", "list": [1, 2.5, None, True]})

    def read():
        found = newest_checkpoint(folder)
        assert found.step == 7
        assert sum(array.nbytes for array in found.arrays.values()) < path.stat().st_size

    return path, sealed, read, RecordError


def _example():
    rng = np.random.default_rng(0)
    return Episode(
        game="harvest",
        classes=("floor", "wall", "apple", "agent 1", "agent 2"),
        palette=((0, 0, 0), (180, 180, 180), (0, 255, 0), (0, 0, 255), (2, 81, 154)),
        actions_names=("left", "right", "stay"),
        boards=rng.integers(0, 5, (3, 4, 6), np.uint8),
        views=rng.integers(0, 5, (3, 2, 3, 3), np.uint8),
        actions=rng.integers(0, 3, (2, 2), np.int16),
        rewards=np.ones((2, 2), np.float32),
        events={"apples": np.ones((2, 2), np.float32), "left": np.ones(2, np.float32)},
        influence=np.ones((2, 2, 2), np.float32),
        messages=np.zeros((2, 2), np.int16),
        moments=np.array([[0, 0, 1, 1], [1, 1, 0, 1]], np.int32),
        conditionals=np.full((2, 4, 3), 85, np.uint8),
        marginals=np.full((2, 3), 85, np.uint8),
        varied="message",
        marginal="average",
        headings=np.zeros((3, 2), np.int8),
        agents=("agent 1", "agent 2"),
        agent_codes=(3, 4),
        seed=1,
        step=1000,
        note="größer als nötig: ✓",
    )


def _episode(folder):
    write_episode(folder / "episode", _example())
    return folder / "episode", sealed, lambda: read_episode(folder / "episode"), RecordError


def _counterfactuals(folder):
    path, tables = folder / "all", np.full((2, 2, 2, 4, 3), 85, np.uint8)
    write_counterfactuals(path, _example(), 1, [(tables, tables[:, :, :, 0])], symbols=4, marginal="average")
    return path, sealed, lambda: read_counterfactuals(path), RecordError


def _metrics(folder):
    path = folder / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        for step in range(4):
            writer.append({"step": step, "x": step / 3, "list": [1.0, None, [2]], "bad": float("nan")})

    def read():
        assert all(row["step"] >= 0 for row in read_metrics(path).rows)

    return path, mutated, read, RecordError


def _configuration(folder):
    from suasion.runs import ConfigError, RunConfig, configure

    config = configure("harvest", rewards=("extrinsic=1@0,0.5@1000/1/0", "shared=0.5"), options={"hit_cost": 3.5})
    run = create_run(folder / "run", config.to_json(), {"versions": {}})

    def read():
        found = RunConfig.from_json(read_run(run.path).config)
        assert RunConfig.from_json(found.to_json()) == found

    return run.config, mutated, read, (RecordError, ConfigError)


def _map(folder):
    from suasion.games import GameError, make

    path = folder / "map.txt"
    path.write_text("game: harvest\n@@@@@@@\n@P A A@\n@ AAA @\n@P A P@\n@@@@@@@\n")

    def read():
        assert make(str(path)).spec.agents > 0

    return path, mutated, read, GameError


READERS = {
    "checkpoint": _checkpoint,
    "episode": _episode,
    "counterfactuals": _counterfactuals,
    "metrics": _metrics,
    "configuration": _configuration,
    "map": _map,
}


def hunt(reader, files, seed, mib):
    """Files read and refused; seconds; MiB by which the largest resident size grew."""
    with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as name:
        path, mutate, read, errors = READERS[reader](Path(name))
        content, chance = path.read_bytes(), Chance(seed)
        read()
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (held + mib * 2**20 + RESERVED, before[1]))
        peak, begun, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic(), 0
        # One descriptor for all: making a file anew would take longer than reading it.
        descriptor = os.open(path, os.O_WRONLY)
        for _ in range(files):
            bad = mutate(chance, content)
            os.pwrite(descriptor, bad, 0)
            os.ftruncate(descriptor, len(bad))
            try:
                read()
            except errors:
                refused += 1
        os.close(descriptor)
        path.write_bytes(content)
        read()
        resource.setrlimit(resource.RLIMIT_AS, before)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    seconds = round(time.monotonic() - begun, 1)
    return {"reader": reader, "files": files, "refused": refused, "seconds": seconds, "grown_mib": round(grown, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"{', '.join(READERS)}; all if left out")
    parser.add_argument("--files", type=int, default=10_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mib", type=int, default=64, help="limit of memory beyond what is held at the start")
    given = parser.parse_args()
    for reader in given.readers or READERS:
        print(json.dumps(hunt(reader, given.files, given.seed, given.mib)), flush=True)
