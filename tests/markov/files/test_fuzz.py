"""Mutated valid files: only FormatError escapes, and what reads is a model; no hang, no large allocation.

10,000 files for each reader, in processes of their own: there the memory has a limit, and the readers run as users have
them, without type checks.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suasion.markov._files import write_model

SAMPLES = Path(__file__).parent / "samples"
FUZZ = Path(__file__).parent / "fuzz.py"
MEMORY = 128  # MiB beyond what the process takes at the start


def hunt(paths, mutation="bytes", *, files, seed=1, rewards="", memory=MEMORY):
    """How many of the mutated files were refused."""
    command = [sys.executable, FUZZ, seed, files, memory, mutation, rewards, *paths]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def copied(tmp_path, sample):
    """Copies of a sample's files, that which is read first."""
    source = SAMPLES / sample
    found = sorted(source.iterdir(), key=lambda path: path.suffix != ".tra") if source.is_dir() else [source]
    for path in found:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return [tmp_path / path.name for path in found]


@pytest.mark.parametrize("mutation", ["bytes", "tar"])
def test_umb(build, partial, outcomes, tmp_path, mutation):
    path = tmp_path / "m.umb"
    write_model(build(**outcomes, states=("a", "b", "c", "d"), initial=np.array([0.5, 0.5, 0.0, 0.0])), path)
    assert hunt([path], mutation, files=2_500) > 500
    write_model(partial(), path)
    assert hunt([path], mutation, files=2_500, seed=2) > 500


@pytest.mark.parametrize("mutation", ["bytes", "zip"])
def test_npz(partial, tmp_path, mutation):
    write_model(partial(), tmp_path / "m.npz")
    assert hunt([tmp_path / "m.npz"], mutation, files=5_000) > 1_000


@pytest.mark.parametrize("suffix", [".umb.gz", ".umb.xz", ".drn.gz", ".drn.xz"])
def test_compressed(build, tmp_path, suffix):
    write_model(build(), tmp_path / f"m{suffix}")
    assert hunt([tmp_path / f"m{suffix}"], files=2_500) > 2_000


@pytest.mark.parametrize("sample", ["costs.drn", ""])
def test_drn(build, tmp_path, sample):
    paths = copied(tmp_path, sample) if sample else [tmp_path / "m.drn"]
    if not sample:
        write_model(build(), paths[0])
    assert hunt(paths, files=5_000, rewards="time" if sample else "") > 2_000


@pytest.mark.parametrize("more", ["", "R: listen : 0 : 1 0.5 0.25\nT: listen : 0\n0.5 0.5\nT: listen : 1 : 0 0.0\n"])
def test_cassandra(tmp_path, more):
    (path,) = copied(tmp_path, "tiger.pomdp")
    path.write_text(path.read_text() + more)
    assert hunt([path], files=5_000) > 2_000


@pytest.mark.parametrize("sample", ["prism", "storm", "chain"])
def test_prism(tmp_path, sample):
    assert hunt(copied(tmp_path, sample), files=3_400) > 1_500
