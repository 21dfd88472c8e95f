"""The fast games against the slow oracle, step by step, on random maps and random play.

108,000 steps: states, rewards, events, ends, boards and who sees whom are compared on every step, views on every step
where they are small and on every eighth elsewhere (87,840 steps). Maps are small and crowded, so that agents get in
each other's way, and many episodes start with a ring of agents that all step along it.
"""

import collections
import dataclasses
import functools
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from suasion.games import CLEANUP_MAP, HARVEST_MAP, BoxTrapped, Cleanup, Harvest

STEPS = 25  # per episode
BOX = ("DDD", "DTD", "DDD")


def random_map(random, size, marks, weights, agents):
    """A walled map of random marks, with at least `agents` spawn cells and one cell of each mark."""
    inner = random.choice(list(marks), size, p=np.array(weights) / np.sum(weights))
    forced = random.permutation(inner.size)[: agents + len(marks)]
    inner.ravel()[forced] = [*("P" * agents), *marks]
    return walled(inner)


def random_box_map(random, size):
    """A walled map of floor, apples and some walls around one box."""
    inner = random.choice(list(" A@"), size, p=[0.45, 0.45, 0.1])
    row, column = random.integers(0, size[0] - 2), random.integers(0, size[1] - 2)
    inner[row : row + 3, column : column + 3] = [list(line) for line in BOX]
    return walled(inner)


def walled(inner):
    return "\n".join("".join(line) for line in np.pad(inner, 1, constant_values="@"))


@dataclasses.dataclass(frozen=True)
class Trial:
    """One game of the comparison: `kind` and options of the game, rows and columns inside the walls, episodes."""

    kind: str
    size: tuple[int, int] | None
    view: int
    agents: int = 2
    variant: str = "paper"
    episodes: int = 320
    views_every: int = 1

    def game(self, random):
        costs = {"fire_cost": 0.5, "hit_cost": 6.25, "horizon": STEPS}  # sums are exact in float32
        if self.kind == "box":
            return BoxTrapped(map=random_box_map(random, self.size), view=self.view, horizon=STEPS)
        options = {
            "agents": self.agents,
            "view": self.view,
            "variant": self.variant,
            "horizon": STEPS,
            **costs,
        }
        if self.kind == "harvest":
            given = HARVEST_MAP
            if self.size:
                given = random_map(random, self.size, " @AB", (0.15, 0.1, 0.45, 0.3), self.agents)
            return Harvest(map=given, **options)
        given = CLEANUP_MAP
        if self.size:
            given = random_map(random, self.size, " @ABRHS", (0.2, 0.08, 0.1, 0.15, 0.24, 0.18, 0.05), self.agents)
        return Cleanup(map=given, **options)


TRIALS = (
    Trial("harvest", (3, 4), 5, agents=5),
    Trial("harvest", (6, 7), 7, agents=4),
    Trial("harvest", (4, 9), 9, agents=2, variant="ssd", views_every=8),
    Trial("harvest", (5, 4), 3, agents=5, variant="ssd"),
    Trial("harvest", None, 15, agents=5, episodes=160, views_every=8),
    Trial("cleanup", (4, 4), 5, agents=5),
    Trial("cleanup", (6, 6), 7, agents=3),
    Trial("cleanup", (9, 3), 11, agents=4, views_every=8),
    Trial("cleanup", (5, 5), 3, agents=5, variant="ssd"),
    Trial("cleanup", (7, 5), 5, agents=2, variant="ssd"),
    Trial("cleanup", None, 15, agents=5, episodes=160, views_every=8),
    Trial("box", (3, 4), 3),
    Trial("box", (5, 6), 7),
    Trial("box", (7, 7), 5, episodes=480),
)


def test_the_trials_are_a_hundred_thousand_steps():
    assert sum(trial.episodes for trial in TRIALS) * STEPS >= 100_000


@functools.partial(jax.jit, static_argnums=0)
def roll(game, states, draws, actions):
    """All that the fast game says along given episodes: state, step, sight and board after each step."""

    def follow(state, draws, actions):
        def one(state, given):
            state, step = game.advance(given[0], state, given[1])
            return state, (state, step, game.observe(state), game.board(state))

        return jax.lax.scan(one, state, (draws, actions))[1]

    return jax.vmap(follow)(states, draws, actions)


@functools.partial(jax.jit, static_argnums=0)
def begin(game, keys):
    """Reset states of all keys and the draws of one."""
    return jax.vmap(game.reset)(keys), game.draw(keys[0])


def random_states(random, game, slow, states):
    """Reset states with random ground; on three episodes of four the agents are anywhere, a third in a ring."""
    cells, position, heading = (
        states.cells.copy(),
        states.position.copy(),
        random.integers(0, 4, states.heading.shape),
    )
    floor = [(r, c) for r, row in enumerate(slow.ground) for c, code in enumerate(row) if code != 1]
    rings = [ring for ring in map(square, floor) if set(ring) <= set(floor)]
    for episode in range(len(cells)):
        filled, dirt = random.random(2)
        for cell in slow.sites:
            cells[episode][cell] = 3 if random.random() < filled else 2
        for cell in slow.river:
            cells[episode][cell] = 4 if random.random() < 0.7 * dirt else 5
        if episode % 4:
            places = [floor[k] for k in random.permutation(len(floor))]
            if episode % 3 == 0 and rings:
                ring = rings[random.integers(len(rings))]
                places = [*ring, *[cell for cell in places if cell not in ring]]
            position[episode] = places[: game.agents]
        for row, column in position[episode]:
            if cells[episode, row, column] == 3:  # nobody stands on an apple: it would have been eaten
                cells[episode, row, column] = 2
    return states._replace(cells=cells, position=position, heading=heading.astype(np.int32))


def random_boxes(random, game, slow, states):
    """Reset states; in half of the episodes side pieces are missing and the two are anywhere, in the box too."""
    cells, position = states.cells.copy(), states.position.copy()
    row, column = slow.trap
    for episode in range(0, len(cells), 2):
        for side in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if random.random() < 0.4:
                cells[episode][side] = 2
        free = np.argwhere((cells[episode] == 2) | (cells[episode] == 3))
        near = free[np.abs(free - [[row, column]]).max(axis=1) <= 1]
        position[episode] = random.permutation(near if episode % 4 and len(near) > 1 else free)[:2]
    return states._replace(cells=cells, position=position)


def square(cell):
    row, column = cell
    return [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]


def random_actions(random, game, states, episodes):
    """Mostly moves and beams, each episode with a taste of its own; those in a ring step along it."""
    count = len(game.spec.actions)
    taste = random.dirichlet([2.0] * 4 + [0.7] * (count - 4), (episodes, 1, 1))
    uniform = random.random((episodes, STEPS, game.spec.agents, 1))
    actions = np.minimum((uniform > taste.cumsum(axis=-1)).sum(axis=-1), count - 1).astype(np.int32)
    if hasattr(states, "heading"):
        relative = np.array([2, 1, 3, 0])  # quarter turns clockwise from the heading -> action
        for episode in range(0, episodes, 3):
            for k, way in enumerate((1, 2, 3, 0)[: game.agents]):
                actions[episode, 0, k] = relative[(way - states.heading[episode, k]) % 4]
    return actions


def random_draws(random, one, episodes):
    """Uniforms; in some episodes with ties, with exact thresholds, or so small that much grows."""
    fields = {}
    for name, array in one._asdict().items():
        values = random.random((episodes, STEPS, *array.shape), np.float32)
        if name in ("priority", "order"):
            values[::5] = np.floor(values[::5] * 3) / 3
        if name == "growth":
            values[1::3] *= np.float32(0.06)
            values[2::9] = random.choice(np.float32([0, 0.005, 0.02, 0.05, 0.9]), values[2::9].shape)
        if name == "waste":
            values[::7, :, 0] = 0.5
            values[1::7, :, 1] = np.float32(1 - 2.0**-24)
        fields[name] = values
    return type(one)(**fields)


@pytest.mark.parametrize("number", range(len(TRIALS)))
def test_fast_and_slow_agree(number, twin, oracle):
    trial, random = TRIALS[number], np.random.default_rng(number)
    game = trial.game(random)
    slow = twin(game).slow
    states, one = jax.tree.map(np.asarray, begin(game, jax.random.split(jax.random.key(number), trial.episodes)))
    shuffled = random_boxes if trial.kind == "box" else random_states
    states = shuffled(random, game, slow, states)
    actions = random_actions(random, game, states, trial.episodes)
    draws = random_draws(random, one, trial.episodes)
    fast = jax.tree.map(np.asarray, roll(game, states, draws, actions))
    said, seen = replay(oracle, slow, states, draws, actions, trial.views_every)
    compare(fast, said, trial.views_every)
    never = [name for name, times in seen.items() if not times]
    assert not never, f"the play never shows: {never}"


def replay(oracle, slow, states, draws, actions, views_every):
    """The oracle along the same episodes: what it says, lists by name, and how often it saw which events."""
    said, seen = collections.defaultdict(list), collections.Counter()
    fields = {name: values.tolist() for name, values in draws._asdict().items()}
    for episode, moves in enumerate(actions.tolist()):
        world = oracle.world_of(type(states)(*(field[episode] for field in states)))
        for t in range(STEPS):
            before = world.position
            chance = SimpleNamespace(**{name: values[episode][t] for name, values in fields.items()})
            world, outcome = slow.advance(chance, world, moves[t])
            for name in states._fields:
                said[name].append(getattr(world, name))
            for name in ("reward", "terminated", "truncated"):
                said[name].append(getattr(outcome, name))
            for name, value in outcome.events.items():
                said["event " + name].append(value)
            said["visible"].append(oracle.visible(world.position, slow.half))
            said["board"].append(slow.board(world))
            if t % views_every == 0:
                said["codes"].append(slow.views(world))
            census(seen, before, world.position, moves[t])
    seen.update({name: np.sum(values) for name, values in said.items() if name.startswith("event ")})
    return said, seen


def census(seen, before, after, actions):
    """Count what makes moves hard: so that the test says if its play became too tame."""
    agents = range(len(before))
    follows = {i: j for i in agents for j in agents if i != j and after[i] == before[j]}
    seen["agents follow into a cell just left"] += bool(follows)
    seen["agents stay though they wanted to move"] += any(actions[i] < 4 and before[i] == after[i] for i in agents)
    if len(before) >= 4:
        last = follows.get(follows.get(follows.get(0)))
        seen["rings turn"] += last is not None and follows.get(last) == 0


def compare(fast, said, views_every):
    """Every field of every step: [episode, step, ...] of the fast game against the oracle's flat lists."""
    state, step, sight, board = fast
    told = {
        **state._asdict(),
        "reward": step.reward,
        "terminated": step.terminated,
        "truncated": step.truncated,
    }
    told |= {"event " + name: value for name, value in step.events.items()}
    assert {value.dtype for value in step.events.values()} == {np.dtype(np.float32)}
    told |= {"visible": sight.visible, "board": board, "codes": sight.codes[:, ::views_every]}
    assert set(told) == set(said)
    for name, value in told.items():
        slow = np.array(said[name], value.dtype).reshape(value.shape)
        wrong = np.argwhere(value != slow)
        if len(wrong):
            episode, t = wrong[np.lexsort((wrong[:, 0], wrong[:, 1]))[0], :2]
            np.testing.assert_array_equal(
                value[episode, t], slow[episode, t], err_msg=f"{name}, episode {episode}, recorded step {t}"
            )
