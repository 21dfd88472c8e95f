"""The rewards of this room that configurations name: one line each."""

from __future__ import annotations

from typing import Any

from suasion.influence._exchange import Exchange
from suasion.influence._inequity import Inequity
from suasion.influence._orientation import Orientation
from suasion.influence._prosocial import Prosocial

TERMS: dict[str, type[Any]] = {
    "inequity": Inequity,
    "prosocial": Prosocial,
    "orientation": Orientation,
    "exchange": Exchange,
}
"""Rewards of agents that look at each other; each is told how many there are (`agents`)."""
