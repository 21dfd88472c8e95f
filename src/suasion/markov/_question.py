"""What is asked of a decision process; some files hold it beside the model."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What a file asks of its model.

    Attributes:
        discount: in [0, 1], or None if the file does not say.
        maximise: whether rewards are good; False where the file holds costs.

    Raises:
        ValueError: `discount` outside [0, 1].
    """

    discount: float | None = None
    maximise: bool = True

    def __post_init__(self) -> None:
        if self.discount is not None and not 0 <= self.discount <= 1:
            raise ValueError(f"discount is {self.discount!r}, outside [0, 1]")
