"""What commands ask before they draw; without `suasion.viewing`, which is imported only where something is drawn."""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".png", ".svg", ".pdf")  # of the files that figures are written to


def check_width(width: float | None, least: float = 1.5) -> None:
    """Refuse a `--width` that no figure can have.

    Args:
        width: in inches; None if it is not asked for.
        least: that can be drawn.

    Raises:
        ValueError: less than that, or more than 40 inches; named.
    """
    if width is not None and not least <= width <= 40:
        raise ValueError(f"--width is {width}: must be {least:g} to 40 inches")


def make_folder(out: Path) -> None:
    """Make the folder of pictures, if `out` is one: it does not end as a picture does."""
    if out.suffix.lower() not in ENDINGS:
        out.mkdir(parents=True, exist_ok=True)
