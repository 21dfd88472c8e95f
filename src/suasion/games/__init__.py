"""Markov games of several agents, in JAX: the chapter on social dilemmas.

Every game keeps one contract, `Game`: `reset`, `observe`, `available_actions`, `draw` (all the chance of a
step) and a deterministic `advance`; `step` is one after the other. Games are frozen and hashable, shapes are
static, views are uint8 class codes, and batches are made with `jax.vmap`. Here live Harvest, Cleanup and Box
Trapped as the rule book states them, repeated matrix games, two memory tasks and a game that needs messages;
scripted policies and Schelling diagrams; the measures of a society (NumPy); and the adapters to PettingZoo and
Gymnasium, which are imported only when asked for.
"""

from typing import TYPE_CHECKING, Any

from suasion.games._box import BoxDraws as BoxDraws
from suasion.games._box import BoxState as BoxState
from suasion.games._box import BoxTrapped as BoxTrapped
from suasion.games._catalogue import catalogue as catalogue
from suasion.games._catalogue import make as make
from suasion.games._cleanup import Cleanup as Cleanup
from suasion.games._cleanup import CleanupDraws as CleanupDraws
from suasion.games._game import Event as Event
from suasion.games._game import Game as Game
from suasion.games._game import GameError as GameError
from suasion.games._game import Sight as Sight
from suasion.games._game import Spec as Spec
from suasion.games._game import Step as Step
from suasion.games._grid import GridState as GridState
from suasion.games._harvest import Harvest as Harvest
from suasion.games._harvest import HarvestDraws as HarvestDraws
from suasion.games._maps import BOX_TRAPPED_MAP as BOX_TRAPPED_MAP
from suasion.games._maps import CLEANUP_MAP as CLEANUP_MAP
from suasion.games._maps import HARVEST_MAP as HARVEST_MAP
from suasion.games._maps import SMALL_CLEANUP_MAP as SMALL_CLEANUP_MAP
from suasion.games._maps import SMALL_HARVEST_MAP as SMALL_HARVEST_MAP
from suasion.games._matrix import MatrixGame as MatrixGame
from suasion.games._matrix import MatrixState as MatrixState
from suasion.games._matrix import chicken as chicken
from suasion.games._matrix import prisoners_dilemma as prisoners_dilemma
from suasion.games._matrix import pure_coordination as pure_coordination
from suasion.games._matrix import stag_hunt as stag_hunt
from suasion.games._measures import Average as Average
from suasion.games._measures import Measure as Measure
from suasion.games._measures import depletion as depletion
from suasion.games._measures import efficiency as efficiency
from suasion.games._measures import equality as equality
from suasion.games._measures import over_episodes as over_episodes
from suasion.games._measures import peace as peace
from suasion.games._measures import society as society
from suasion.games._measures import sustainability as sustainability
from suasion.games._recall import Recall as Recall
from suasion.games._recall import RecallDraws as RecallDraws
from suasion.games._recall import RecallState as RecallState
from suasion.games._scripts import Cleaner as Cleaner
from suasion.games._scripts import Episodes as Episodes
from suasion.games._scripts import Forager as Forager
from suasion.games._scripts import Schelling as Schelling
from suasion.games._scripts import cleaner as cleaner
from suasion.games._scripts import forager as forager
from suasion.games._scripts import harvester as harvester
from suasion.games._scripts import play as play
from suasion.games._scripts import schelling as schelling
from suasion.games._scripts import sustainable as sustainable
from suasion.games._signalling import Signalling as Signalling
from suasion.games._signalling import SignallingDraws as SignallingDraws
from suasion.games._signalling import SignallingState as SignallingState
from suasion.games._tmaze import TMaze as TMaze
from suasion.games._tmaze import TMazeState as TMazeState

if TYPE_CHECKING:
    from suasion.games._gymnasium import SingleAgentEnv as SingleAgentEnv
    from suasion.games._pettingzoo import parallel_env as parallel_env


def __getattr__(name: str) -> Any:
    """The adapters, which alone need gymnasium and pettingzoo, are imported at first use."""
    if name == "SingleAgentEnv":
        from suasion.games._gymnasium import SingleAgentEnv

        return SingleAgentEnv
    if name == "parallel_env":
        from suasion.games._pettingzoo import parallel_env

        return parallel_env
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
