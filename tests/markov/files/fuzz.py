"""Mutates valid files and reads them: run by test_fuzz.py as a process of its own, with a limit on memory.

    python fuzz.py SEED FILES MIB MUTATION REWARDS PATH...

The first path is read; one of the paths is mutated. Prints how many files were refused; any exception but FormatError
ends it with a traceback.
"""

import io
import re
import resource
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from suasion.markov import MDP, POMDP
from suasion.markov._files import FormatError, _tar, read_model

RAM = Path("/dev/shm")  # where there is one: a disk may be slow
NUMBERS = [b"1e12", b"1000000000000", b"-1", b"nan", b"1e400", b"0", b"2", b"0.5", b"9" * 30, b"1_0", b"-0.0", b"*"]
TOKENS = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\xff", b"\0", b"\n", b" ", b"#", b"\\ud800", b"terminal", b"//"]
NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?")


def mutated(rng, content):
    """One to three edits: a flipped bit, a slice cut or repeated, a token, a number for a number, a cut end."""
    bad = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, len(bad) + 1))
        other = min(len(bad), place + int(rng.integers(1, 30)))
        match rng.integers(0, 8):
            case 0 if place < len(bad):
                bad[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del bad[place:other]
            case 2:
                bad[place:place] = bad[place:other]
            case 3:
                bad[place:place] = TOKENS[rng.integers(len(TOKENS))]
            case 4 | 5 if found := NUMBER.search(bad, place):
                bad[found.start() : found.end()] = NUMBERS[rng.integers(len(NUMBERS))]
            case 6:
                value = int(rng.integers(0, 2**63)) >> int(rng.integers(0, 63))
                real = (np.nan, np.inf, -1.0, 1e300)[rng.integers(4)]
                bad[place : place + 8] = struct.pack("<Q", value) if rng.random() < 0.6 else struct.pack("<d", real)
            case _ if rng.random() < 0.1:
                del bad[place:]
    return bytes(bad)


def tar(rng, content):
    """One member changed, all checksums right."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(entry.name, archive.extractfile(entry).read()) for entry in archive]
    which = int(rng.integers(len(members))) if rng.random() < 0.6 else 0
    members[which] = (members[which][0], mutated(rng, members[which][1]))
    pieces = [_tar.header(name, len(held)) + held + bytes(-len(held) % 512) for name, held in members]
    return b"".join(pieces) + bytes(1024)


def archive(rng, content):
    """One member of a zip archive changed, all checksums right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        names = source.namelist()
        which = names[rng.integers(len(names))] if rng.random() < 0.7 else "text.npy"
        for name in names:
            held = source.read(name)
            target.writestr(name, mutated(rng, held) if name == which else held)
    return buffer.getvalue()


MUTATIONS = {"bytes": mutated, "tar": tar, "zip": archive}


def hunt(paths, mutate, seed, files, rewards):
    """How many of the mutated files were refused."""
    rng = np.random.default_rng(seed)
    sound = [path.read_bytes() for path in paths]
    refused = 0
    for _ in range(files):
        which = int(rng.integers(len(paths)))
        paths[which].write_bytes(mutate(rng, sound[which]))
        message = ""
        try:
            model, _ = read_model(paths[0], rewards=rewards)
            assert isinstance(model, MDP | POMDP)
        except FormatError as error:
            message = str(error)
            refused += 1
        assert not message or str(paths[0].parent) in message, message
        paths[which].write_bytes(sound[which])
    read_model(paths[0], rewards=rewards)
    return refused


if __name__ == "__main__":
    seed, files, mib, mutation, rewards, *paths = sys.argv[1:]
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + int(mib) * 2**20,) * 2)
    with tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as folder:
        copies = [Path(shutil.copy(path, folder)) for path in paths]
        print(hunt(copies, MUTATIONS[mutation], int(seed), int(files), rewards or None))
