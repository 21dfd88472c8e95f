"""The cores by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from suasion.networks._core import GRU, LSTM, Core, Memoryless
from suasion.networks._sequence_cores import Diagonal, SequenceCore

CoreKind = Literal["lstm", "gru", "diagonal", "s4d", "mamba", "none"]

CORES: dict[str, Callable[..., Core]] = {
    "lstm": LSTM.init,
    "gru": GRU.init,
    "diagonal": Diagonal.init,
    "s4d": SequenceCore.s4d,
    "mamba": SequenceCore.mamba,
    "none": Memoryless.init,
}
