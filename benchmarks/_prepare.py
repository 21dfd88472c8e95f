"""The process as the command line prepares it."""

from __future__ import annotations


def prepare() -> None:
    """Set what the `suasion` command sets before JAX is imported."""
    import suasion.cli

    suasion.cli.prepare_environment()
