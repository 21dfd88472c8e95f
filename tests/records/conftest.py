"""Makers of small valid files, and of hostile ones whose digest is right."""

import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from suasion.records import Episode


def _seal(header: bytes, arrays: bytes, *, magic: bytes = b"\x89SUA\r\n\x1a\n", version: int = 1) -> bytes:
    """An envelope around any bytes, with a digest that is right: what an attacker would send."""
    header += b" " * (-len(header) % 8)
    content = magic + struct.pack("<IIQ", version, len(header), len(arrays)) + header + arrays
    return content + hashlib.sha256(content).digest()


def _tensors(table: Any, body: bytes = b"") -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def _episode(seed: int = 0, steps: int = 5, agents: int = 2, **changes: Any) -> Episode:
    rng = np.random.default_rng(abs(seed))
    fields: dict[str, Any] = {
        "game": "harvest",
        "classes": ("floor", "wall", "apple", "agent 1", "agent 2"),
        "palette": ((0, 0, 0), (180, 180, 180), (0, 255, 0), (0, 0, 255), (2, 81, 154)),
        "actions_names": ("left", "right", "stay"),
        "boards": rng.integers(0, 5, (steps + 1, 4, 6), np.uint8),
        "views": rng.integers(0, 5, (steps + 1, agents, 3, 3), np.uint8),
        "actions": rng.integers(0, 3, (steps, agents), np.int16),
        "rewards": rng.integers(-1, 2, (steps, agents)).astype(np.float32),
        "events": {
            "apples": rng.integers(0, 3, (steps, agents)).astype(np.float32),
            "apples left": rng.random(steps, np.float32),
        },
        "influence": rng.random((steps, agents, agents), np.float32),
        "messages": rng.integers(-1, 4, (steps, agents), np.int16),
        "headings": rng.integers(0, 4, (steps + 1, agents), np.int8),
        "agents": tuple(f"agent {k}" for k in range(1, agents + 1)),
        "seed": seed,
        "step": 1000,
        "note": "größer als nötig: ✓",
        "agent_codes": tuple(3 + k % 2 for k in range(agents)),
    }
    return Episode(**fields | changes)


@pytest.fixture(scope="session")
def seal() -> Callable[..., bytes]:
    return _seal


@pytest.fixture(scope="session")
def tensors() -> Callable[..., bytes]:
    return _tensors


@pytest.fixture(scope="session")
def episode() -> Callable[..., Episode]:
    return _episode
