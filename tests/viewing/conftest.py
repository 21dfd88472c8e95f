"""A small world to draw: agents that walk about on a map, seen as the games show it."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from suasion.records import Episode

HARVEST = """
@@@@@@@@@@@
@P   A   P@
@   AAA   @
@    A    @
@ A     A @
@AAA P AAA@
@ A     A @
@    A    @
@   AAA   @
@P   A   P@
@@@@@@@@@@@
"""
CODES = {" ": 0, "P": 0, "@": 1, "A": 2}
COLOURS = ((0, 0, 255), (2, 81, 154), (204, 0, 204), (216, 30, 54), (254, 151, 0))


def _walk(seed: int = 0, steps: int = 20, agents: int = 3, sight: int = 7, **changes: Any) -> Episode:
    rng = np.random.default_rng(seed)
    ground = np.array([[CODES[mark] for mark in line] for line in HARVEST.strip("\n").split("\n")], np.uint8)
    free = np.argwhere(ground != 1)
    place = free[rng.permutation(len(free))[:agents]]
    heading = rng.integers(0, 4, agents).astype(np.int8)
    boards, views, headings, actions, rewards = [], [], [], [], []
    for t in range(steps + 1):
        board = ground.copy()
        board[tuple(place.T)] = 3 + np.arange(agents)
        half = sight // 2
        wide = np.pad(board, half)
        boards.append(board)
        views.append([np.rot90(wide[r : r + sight, c : c + sight], heading[k]) for k, (r, c) in enumerate(place)])
        headings.append(heading.copy())
        if t == steps:
            break
        action, gain = rng.integers(0, 7, agents).astype(np.int16), np.zeros(agents, np.float32)
        for k in range(agents):
            if action[k] >= 5:
                heading[k] = (heading[k] + (1 if action[k] == 5 else -1)) % 4
            elif action[k] < 4:
                move = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])[(heading[k] + (3, 1, 0, 2)[action[k]]) % 4]
                target = place[k] + move
                if ground[tuple(target)] != 1 and not (place == target).all(1).any():
                    place[k] = target
                    gain[k] = ground[tuple(target)] == 2
                    ground[tuple(target)] = 0
        actions.append(action)
        rewards.append(gain)
    fields: dict[str, Any] = {
        "game": "harvest small",
        "classes": ("empty", "wall", "apple", *(f"agent {k + 1}" for k in range(agents))),
        "palette": ((0, 0, 0), (180, 180, 180), (0, 255, 0), *(COLOURS[k % 5] for k in range(agents))),
        "actions_names": ("left", "right", "forward", "back", "stay", "turn clockwise", "turn counter-clockwise"),
        "boards": np.array(boards),
        "views": np.array(views, np.uint8),
        "actions": np.array(actions, np.int16).reshape(steps, agents),
        "rewards": np.array(rewards, np.float32).reshape(steps, agents),
        "events": {},
        "headings": np.array(headings),
        "agents": tuple(f"agent {k + 1}" for k in range(agents)),
        "seed": seed,
        "step": 960_000,
        "note": "shared reward",
        "agent_codes": tuple(range(3, 3 + agents)),
    }
    return Episode(**fields | changes)


@pytest.fixture(scope="session")
def walk() -> Callable[..., Episode]:
    return _walk


def _training(seed: int, level: float = 30.0, points: int = 60, every: int = 16_000) -> list[dict[str, Any]]:
    """Rows as a training run writes them: a noisy rise, with a per-agent list and some undefined values."""
    rng = np.random.default_rng(seed)
    rows = []
    for place in range(points):
        rise = level * (1 - np.exp(-place / 15)) + rng.normal(0, 1.5) + seed % 3
        rows.append(
            {
                "step": (place + 1) * every,
                "episode/collective_reward": rise,
                "episode/equality": None if 20 <= place < 26 else float(np.clip(0.9 - 0.1 * rng.random(), 0, 1)),
                "episode/returns": [rise / 3] * 3,
                "reward/extrinsic": rise / 250,
                "loss/policy": float(rng.normal()),
            }
        )
    return rows


@pytest.fixture(scope="session")
def training() -> Callable[..., list[dict[str, Any]]]:
    return _training


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser; tests that ask for it are skipped where there is none."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    program = os.environ.get("SUASION_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
