"""The slow oracle beside the fast games: `oracle` is its module, `twin(game)` plays both and compares."""

import dataclasses
import functools
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

# Maps for scenes: agents that have no part in one stay at the bottom.
HALL = """\
@@@@@@@@@@@@@@@@
@              @
@              @
@              @
@        @     @
@              @
@              @
@              @
@       BBBBBBB@
@       BBBBBBB@
@       BBBBBBB@
@       BBBBBBB@
@       BBBBBBB@
@       BBBBBBB@
@PPPPPPPBBBBBBB@
@@@@@@@@@@@@@@@@"""
HARBOUR = """\
@@@@@@@@@@@@@@@@
@      RRRRRRRR@
@      RRRRRRRR@
@      RRRRRRRR@
@      RRR@RRRR@
@      RRRRRRRR@
@      RRRRRRRR@
@          SRRR@
@        BBB   @
@        BBB   @
@              @
@              @
@              @
@              @
@PPPPPPP       @
@@@@@@@@@@@@@@@@"""

# importlib's import mode has no sys.path entry for this folder.
_spec = importlib.util.spec_from_file_location("games_oracle", Path(__file__).with_name("oracle.py"))
_oracle = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _oracle
_spec.loader.exec_module(_oracle)


@functools.partial(jax.jit, static_argnums=0)
def _reset(game, key):
    return game.reset(key), game.draw(key)


@functools.partial(jax.jit, static_argnums=0)
def _advance(game, draws, state, actions):
    state, step = game.advance(draws, state, actions)
    return state, step, game.observe(state), game.board(state)


class Twin:
    """A game and its oracle, played together by `play`, which hands back what both say."""

    def __init__(self, game):
        self.game = game
        fields = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)}
        fields.pop("generator", None)  # where the draws come from is no rule
        slow = {
            "Harvest": _oracle.OracleHarvest,
            "Cleanup": _oracle.OracleCleanup,
            "BoxTrapped": _oracle.OracleBox,
        }
        self.slow = slow[type(game).__name__](fields.pop("map"), **fields)
        self.state, self.draws = jax.tree.map(np.asarray, _reset(game, jax.random.key(0)))
        self.agents = game.spec.agents

    def other(self, **changes):
        """The same game with other options."""
        return twin_of(dataclasses.replace(self.game, **changes))

    def at(self, *position, heading=None, cells=None, time=0):
        """A state: agents at `position` (the rest stay where the reset put them), `cells` changed."""
        where, way = self.state.position.copy(), np.zeros(self.agents, np.int32)
        ground = self.state.cells.copy()
        if position:
            where[: len(position)] = position
        assert len({*map(tuple, where.tolist())}) == self.agents, "a scene puts two agents into one cell"
        changed = {"time": np.int32(time), "position": where, "cells": ground}
        for (row, column), code in (cells or {}).items():
            ground[row, column] = code
        if hasattr(self.state, "heading"):
            way[: len(heading or ())] = heading or ()
            changed["heading"] = way
        return self.state._replace(**changed)

    def luck(self, **given):
        """Draws in which nothing happens by chance, but for the fields given; lists may be short."""
        calm = {}
        for name, array in self.draws._asdict().items():
            calm[name] = np.full_like(array, 0.999)
            if name in given:
                value = np.asarray(given[name], np.float32)
                calm[name][tuple(slice(size) for size in value.shape)] = value
        return type(self.draws)(**calm)

    def play(self, state, *actions, **given):
        """One step with these actions; agents without one stay."""
        actions = np.array([*actions, *[4] * (self.agents - len(actions))], np.int32)
        draws = self.luck(**given)
        fast = jax.tree.map(np.asarray, _advance(self.game, draws, state, actions))
        slow_draws = SimpleNamespace(**{name: array.tolist() for name, array in draws._asdict().items()})
        world, outcome = self.slow.advance(slow_draws, _oracle.world_of(state), actions.tolist())
        result = SimpleNamespace(**fast[0]._asdict(), state=fast[0], step=fast[1], reward=fast[1].reward)
        result.events, result.sight, result.board = fast[1].events, fast[2], fast[3]
        same(result, self.slow, world, outcome)
        return result


@functools.cache
def twin_of(game):
    return Twin(game)


def same(fast, slow, world, outcome):
    """Assert that the game's result is the oracle's, in every field."""
    for name, value in dataclasses.asdict(world).items():
        if hasattr(fast.state, name):
            np.testing.assert_array_equal(getattr(fast.state, name), value, err_msg=name)
    np.testing.assert_array_equal(fast.reward, np.float32(outcome.reward), err_msg="reward")
    assert (bool(fast.step.terminated), bool(fast.step.truncated)) == (outcome.terminated, outcome.truncated)
    assert set(fast.events) == set(outcome.events)
    for name, value in outcome.events.items():
        np.testing.assert_array_equal(fast.events[name], np.float32(value), err_msg=name)
    visible = _oracle.visible(world.position, slow.half)
    np.testing.assert_array_equal(fast.sight.codes, slow.views(world), err_msg="codes")
    np.testing.assert_array_equal(fast.sight.visible, visible, err_msg="visible")
    np.testing.assert_array_equal(fast.board, slow.board(world), err_msg="board")


@pytest.fixture(scope="session")
def oracle():
    return _oracle


@pytest.fixture(scope="session")
def twin():
    return twin_of


@pytest.fixture(scope="session")
def hall(twin):
    """Harvest, 6 agents: open floor with a wall at (4, 9); 7 x 7 sites around (11, 11), without apples."""
    from suasion.games import Harvest  # not at the top: pytest loads this file before it types the package

    return twin(Harvest(map=HALL, agents=6, view=7))


@pytest.fixture(scope="session")
def harbour(twin):
    """Cleanup, 6 agents: a clean river of 50 cells at the top right, a wall at (4, 10); 6 sites."""
    from suasion.games import Cleanup

    return twin(Cleanup(map=HARBOUR, agents=6, view=7))
