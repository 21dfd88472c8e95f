"""Gymnasium's spaces for a game. Importing this module imports gymnasium."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from suasion.games._game import Spec


def view_space(spec: Spec, observation: str) -> spaces.Box:
    """The space of one agent's view: class codes [v, w], or colours [v, w, 3]."""
    if observation == "rgb":
        return spaces.Box(0, 255, (*spec.view, 3), np.uint8)
    return spaces.Box(0, len(spec.classes) - 1, spec.view, np.uint8)
