"""Files from elsewhere in the place of ours: each kind refused by each reader, by name, with the reason, cheaply.

The details are in the tests of each reader; this is the round of all.
"""

import json
import pickle
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

from suasion.records import (
    MetricsWriter,
    RecordError,
    create_run,
    newest_checkpoint,
    read_episode,
    read_metrics,
    read_run,
    save_checkpoint,
    write_episode,
)

MEMORY = 16_000_000  # bytes that a refusal may take, the test's own included


class Witness:
    """Whoever unpickles this has run it."""

    def __reduce__(self):
        return exec, ("import sys; sys.modules['strangers'] = 1",)


@pytest.fixture
def ours(tmp_path, episode):
    """A valid file of each kind, and what reads it."""
    folder = tmp_path / "checkpoints"
    checkpoint = save_checkpoint(folder, 7, {"a": np.zeros(3, np.float32)}, {"offset": 0})
    write_episode(tmp_path / "episode", episode())
    run = create_run(tmp_path / "run", {"rate": 0.5}, {"versions": {}})
    with MetricsWriter(tmp_path / "metrics.jsonl") as writer:
        for step in range(9):
            writer.append({"step": step, "loss": 0.5})
    return {
        "checkpoint": (checkpoint, lambda: newest_checkpoint(folder)),
        "episode": (tmp_path / "episode", lambda: read_episode(tmp_path / "episode")),
        "configuration": (run.config, lambda: read_run(run.path)),
        "manifest": (run.manifest, lambda: read_run(run.path)),
        "metrics": (tmp_path / "metrics.jsonl", lambda: read_metrics(tmp_path / "metrics.jsonl")),
    }


def refused(ours, kind, content, reason):
    """The reader's own error, which names the file and the reason; no memory for what the file only claims."""
    path, read = ours[kind]
    good = path.read_bytes()
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(RecordError, match=reason) as error:
        read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    path.write_bytes(good)
    assert str(path) in str(error.value)
    assert peak < MEMORY + 4 * len(content), f"{kind}: {peak} bytes"
    return 1


FOREIGN = {
    "a pickle": pickle.dumps(Witness()) + b"\n",
    "a zip archive": b"PK\x03\x04" + bytes(300) + b"\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(300) + b"\n",
    "a web page": b"<!doctype html>\n<script>alert(1)</script>\n" * 9,
    "a program": b"\x7fELF" + bytes(300) + b"\n",
    "packed": zlib.compress(bytes(10**6)) + b"\n",
    "a file of safetensors": struct.pack("<Q", 2) + b"{}" + bytes(80) + b"\n",
}


def test_foreign_files(tell, ours):
    count = sum(refused(ours, kind, content, ".") for kind in ours for content in FOREIGN.values())
    assert "strangers" not in sys.modules
    tell(
        "a pickle, an archive, a picture, a web page, a program or a foreign table in the place of a file of ours",
        f"{count} of {count} refused, named; nothing is unpickled",
    )


def test_half_written_files(tell, ours):
    """As a program leaves them that does not write whole files. Half of the metrics are the rows until there."""
    count = 0
    for kind, (path, read) in ours.items():
        good = path.read_bytes()
        if kind == "metrics":
            path.write_bytes(good[: len(good) // 2])
            assert read().torn
            continue
        for part in (good[:0], good[: len(good) // 2], good[:-3], good[: len(good) // 2] + bytes(len(good) // 2)):
            count += refused(ours, kind, part, ".")
    tell(
        "half-written files: nothing, half, all but 3 bytes, zeros from the middle on",
        f"{count} of {count} refused, named",
    )


def test_files_that_lie_about_their_size(tell, ours, seal, tensors):
    entry = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
    head = b"\x89SUA\r\n\x1a\n"
    label = {"checkpoint": {"state": {}, "step": 7}, "episode": {"format": 1}}
    count = 0
    for kind, header in label.items():
        text = json.dumps({"header": header, "kind": kind}).encode()
        for content in (
            seal(text, tensors({"a": entry}, bytes(8))),  # 1e12 elements
            seal(text, tensors({"a": entry | {"shape": [2**32, 2**32], "data_offsets": [0, 0]}})),  # wraps around
            seal(text, struct.pack("<Q", 2**63) + bytes(8)),  # the table of arrays
            head + struct.pack("<IIQ", 1, 2**32 - 8, 8) + bytes(200),  # the header
            head + struct.pack("<IIQ", 1, 8, 2**62) + bytes(200),  # the arrays
        ):
            count += refused(ours, kind, content, ".")
    deep = b'{"suasion":"%s","format":1,"x":' + b"[" * 100_000
    for kind in ("configuration", "manifest"):
        count += refused(ours, kind, deep % b"config", "nested|JSON")
    count += refused(ours, "metrics", b'{"step":0,"x":' + b"[" * 100_000 + b"\n", "nested|JSON")
    count += refused(ours, "metrics", b'{"step":0,"x":' + b"1" * 100_000 + b"}\n", "64 bits")
    tell(
        "sizes that lie (1e12 elements, lengths that wrap around), endless nesting",
        f"{count} of {count} refused before memory is taken",
    )


def test_files_of_a_newer_format(tell, ours, seal, tensors):
    text = b'{"header":{"state":{},"step":7},"kind":"checkpoint"}'
    count = refused(
        ours, "checkpoint", seal(text, tensors({}), version=2), r"version 2, newer than this program \(it reads 1\)"
    )
    count += refused(ours, "episode", seal(text, tensors({}), version=2), r"version 2, newer than this program")
    for kind, name in (("configuration", "config"), ("manifest", "manifest")):
        newer = json.dumps({"suasion": name, "format": 2, "more": []}).encode()
        count += refused(ours, kind, newer, r"format 2, newer than this program \(it reads 1\)")
    tell("files of a newer format", f"{count} of {count} refused, with both formats' numbers")
