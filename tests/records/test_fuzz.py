"""Mutated valid files: only the reader's own error escapes, and what still reads is what could have been written.

10,000 files for each reader, in processes of their own (fuzz.py): there the memory has a limit, and the readers run as
users have them, without type checks. `make fuzz` reads 1,000,000.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
FILES = 10_000
MEMORY = 64  # MiB beyond what the process holds at the start


@pytest.mark.parametrize("reader", ["checkpoint", "episode", "counterfactuals", "metrics", "configuration", "map"])
def test_mutated_files(tell, reader):
    command = [sys.executable, FUZZ, reader, "--files", FILES, "--mib", MEMORY]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["files"] == FILES
    assert 0.5 * FILES < told["refused"] < FILES
    assert told["grown_mib"] < MEMORY
    tell(
        f"{FILES:,} mutated files for the {reader} reader",
        "its own error or a sound value, nothing else; memory within 64 MiB",
    )


def test_an_error_of_another_kind_is_found():
    """The hunt itself works: a reader that lets another error escape ends it."""
    code = (
        f"import runpy; fuzz = runpy.run_path({str(FUZZ)!r}); metrics = fuzz['READERS']['metrics']\n"
        "fuzz['READERS']['metrics'] = lambda folder: (*metrics(folder)[:3], KeyError)\n"
        "fuzz['hunt']('metrics', 100, 1, 64)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RecordError" in done.stderr
    memory = code.replace(
        "fuzz['hunt']",
        "fuzz['READERS']['metrics'] = lambda f: (*metrics(f)[:2], lambda: bytearray(10**9), ValueError)\nfuzz['hunt']",
    )
    done = subprocess.run([sys.executable, "-c", memory], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
