"""Who plays: agents of several runs in one game, and scripted ones beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from suasion.games import Cleanup, Game, Harvest, cleaner, forager, harvester, sustainable
from suasion.networks import Network
from suasion.records import nearest
from suasion.runs._plain import ConfigError
from suasion.runs._play import LoadedRun

ScriptedPolicy = Callable[[Key[Array, ""], Any], Int[Array, " n"]]

# Of the games that they are written for; any other name is that of an action, or `random`.
_SCRIPTS: dict[str, tuple[Callable[[Any], ScriptedPolicy], tuple[type, ...]]] = {
    "forager": (forager, (Harvest, Cleanup)),
    "sustainable": (sustainable, (Harvest,)),
    "cleaner": (cleaner, (Cleanup,)),
    "harvester": (harvester, (Cleanup,)),
}


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Every agent draws one of the actions that it may take, all alike."""

    game: Game

    def __call__(self, key: Key[Array, ""], state: Any) -> Int[Array, " n"]:
        """The agents' actions."""
        logits = jnp.where(self.game.available_actions(state), 0.0, -jnp.inf)
        return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class Always:
    """Every agent takes one and the same action in every step.

    Attributes:
        action: its number.
        agents: how many agents the game has.
    """

    action: int
    agents: int

    def __call__(self, key: Key[Array, ""], state: Any) -> Int[Array, " n"]:
        """The agents' actions."""
        return jnp.full(self.agents, self.action, jnp.int32)


@dataclasses.dataclass(frozen=True)
class Seats:
    """The scripts of a game's places, as `agents.play` takes them: -1 where a network decides.

    Attributes:
        scripts: of each place; None where a network decides.
    """

    scripts: tuple[ScriptedPolicy | None, ...]

    def __call__(self, key: Key[Array, ""], state: Any) -> Int[Array, " n"]:
        """The actions of the places that have a script."""
        scripts = list(dict.fromkeys(script for script in self.scripts if script is not None))
        chosen = [script(k, state) for script, k in zip(scripts, jax.random.split(key, len(scripts)), strict=True)]
        nobody = jnp.int32(-1)
        seated = enumerate(self.scripts)
        return jnp.stack([nobody if one is None else chosen[scripts.index(one)][place] for place, one in seated])


def cast(agents: Sequence[tuple[LoadedRun, int] | str]) -> LoadedRun:
    """Agents of several runs, and scripted ones, in one game: that of the first run.

    Args:
        agents: for each place in the game a run and which of its agents takes it, counted from 0; or the name of a
            script: `forager` (Harvest, Cleanup), `sustainable` (Harvest), `cleaner` and `harvester` (Cleanup), and in
            every game `random` or the name of an action, which is taken in every step. A script acts on the whole
            state; the others see what it does as they see any agent.

    Returns:
        As a run that can be played, in the directory of the first.

    Raises:
        ConfigError: not as many agents as the game has, none of a run, an agent that a run does not have, a script that
            the game does not know, or runs with another game or another network: which, and what differs.
    """
    runs = [one[0] for one in agents if not isinstance(one, str)]
    if not runs:
        raise ConfigError("no agents are given" if not agents else "scripts alone: the game is that of a run, name one")
    first = runs[0]
    game, policy = first.experiment.game, first.experiment.policy
    if len(agents) != game.spec.agents:
        raise ConfigError(f"{len(agents)} agents are given; {game.spec.name} has {game.spec.agents} places")
    scripts = tuple(_script(one, game) if isinstance(one, str) else None for one in agents)
    # A network for every place, also for one that never asks it: arrays have no holes.
    chosen = [
        _network(first, first, place) if isinstance(one, str) else _network(first, *one)
        for place, one in enumerate(agents)
    ]
    network = jax.tree.map(lambda *leaves: jnp.stack(leaves), *chosen)
    own = dataclasses.replace(policy.config, shared=False)
    experiment = dataclasses.replace(first.experiment, policy=dataclasses.replace(policy, config=own))
    params = first.learner.params._replace(policy=network)
    return dataclasses.replace(
        first,
        experiment=experiment,
        learner=first.learner._replace(params=params),
        players=tuple(_told(place, one) for place, one in enumerate(agents)),
        script=Seats(scripts) if any(scripts) else None,
    )


def _network(first: LoadedRun, run: LoadedRun, agent: int) -> Network:
    """The parameters of one agent of a run, which must have the game and the network of the first one."""
    here, there = first.experiment, run.experiment
    if there.game != here.game:
        raise ConfigError(f"{run.path} has another game than {first.path}: {there.game} and {here.game}")
    own, other = (dataclasses.replace(one.policy.config, shared=False) for one in (here, there))
    if own != other:
        raise ConfigError(f"{run.path} has another network than {first.path}: {other} and {own}")
    if not 0 <= agent < here.game.spec.agents:
        raise ConfigError(f"{run.path} has the agents 0 to {here.game.spec.agents - 1}, not {agent}")
    place = 0 if there.policy.config.shared else agent
    return jax.tree.map(lambda x: x[place], run.learner.params.policy)


def _script(name: str, game: Game) -> ScriptedPolicy:
    """A script by its name."""
    actions = game.spec.actions
    if name == "random":
        return Uniform(game)
    if name in _SCRIPTS:
        make, kinds = _SCRIPTS[name]
        if not isinstance(game, kinds):
            there = " and ".join(kind.__name__ for kind in kinds)
            raise ConfigError(f"script {name!r} plays {there}, not {game.spec.name}")
        return make(game)
    if name in actions:
        return Always(actions.index(name), game.spec.agents)
    known = ("random", *(one for one, (_, kinds) in _SCRIPTS.items() if isinstance(game, kinds)), *actions)
    raise ConfigError(
        f"unknown script {name!r}{nearest(name, known)}; in {game.spec.name} there are {', '.join(known)}"
    )


def _told(place: int, one: tuple[LoadedRun, int] | str) -> str:
    """Who has a place, for the records."""
    who = (
        f"script {one}"
        if isinstance(one, str)
        else f"agent {one[1] + 1} of {one[0].config.label} seed {one[0].config.seed}"
    )
    return f"agent {place + 1}: {who}"
