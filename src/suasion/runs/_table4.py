"""Table 4 of Jaques et al. (2019), column by column, as arguments of `suasion train`.

Where the publication and this project differ, the column says so in `NOTES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

GAMES = ("cleanup", "harvest")
SCALES = ("small", "paper")

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "none": "no influence",
        "inequity": "inequity aversion",
        "basic": "influence, basic",
        "communication": "influence, communication",
        "model": "influence, model of others",
        "visible": "visible actions (basic, unpaid)",
        "channel": "messages (communication, unpaid)",
        "unpaid": "model of others, unpaid",
        "simulator": "influence, simulator",
    }
)
TABLE = ("none", "inequity", "basic", "communication", "model")
"""The columns of the publication; the others are its baselines, and the exact mode."""

PUBLISHED: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "cleanup": MappingProxyType(dict(zip(TABLE, (89, 275, 190, 166, 392), strict=True))),
        "harvest": MappingProxyType(dict(zip(TABLE, (485, 750, 1073, 951, 588), strict=True))),
    }
)
"""Collective reward of an episode of 1,000 steps with five agents, over the last 50 agent steps."""

NOTES = (
    "Learning is PPO (small) or A2C (paper) in lockstep, not A3C. The model of others has an optimiser of its own, so "
    "the publication's weight of its loss has no counterpart. Ramps of beta last the published number times 1e6 steps. "
    "The publication gives no settings for inequity aversion here; they are those of no influence."
)

_UNPAID = ("--reward", "extrinsic=1", "--reward", "influence=0")
_SMALL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "none": (),
        "inequity": ("--reward", "extrinsic=1", "--reward", "inequity=1"),
        "basic": ("--influence", "basic"),
        "communication": ("--influence", "communication"),
        "model": ("--influence", "model"),
        "visible": ("--influence", "basic", *_UNPAID),
        "channel": ("--influence", "communication", *_UNPAID),
        "unpaid": ("--influence", "model", *_UNPAID),
        "simulator": ("--influence", "simulator"),
    }
)


def arguments(game: str, column: str, scale: str) -> tuple[str, ...]:
    """What `suasion train` is given for a column, all but the seed.

    At scale `small` the presets of the small maps, the same budget and the same settings for every column, nothing
    tuned. At scale `paper` the publication's hyper-parameters (its tables 1 to 3).

    Args:
        game: in `GAMES`.
        column: in `TITLES`.
        scale: in `SCALES`.
    """
    if scale == "small":
        return (game, *_SMALL[column])
    return (game, "--size", "paper", *_paper(game, column))


def _rates(entropy: str, first: str, last: str) -> tuple[str, ...]:
    return ("--entropy", entropy, "--learning-rate", f"{first}@0,{last}@1e8")


def _ramp(beta: str, steps: str) -> str:
    return f"influence=0@0,{beta}@{steps}"


def _paper(game: str, column: str) -> tuple[str, ...]:
    """Hyper-parameters of the publication."""
    clean = game == "cleanup"
    if column in ("none", "inequity"):
        rates = _rates(".00176", ".00126", "1.2e-5") if clean else _rates(".000687", ".00136", "2.8e-5")
        return (*rates, *_SMALL[column])
    if column == "visible":
        rates = _rates(".00176", ".00126", "1.2e-5") if clean else _rates(".00184", ".00215", "1.3e-5")
        return (*rates, *_SMALL["visible"], "--influencers", "0,1,2")
    if column == "basic":
        own: tuple[str, ...] = ("--influence", "basic", "--reward", "extrinsic=1")
        if clean:
            paid: tuple[str, ...] = ("--reward", _ramp(".146", "1.4e8"), "--divergence", "jsd", "--to-influenced")
            return (*_rates(".000248", ".00107", "4.2e-5"), *own, *paid, "--influencers", "0")
        paid = ("--reward", _ramp(".224", "1.4e8"), "--divergence", "pmi")
        return (*_rates(".00025", ".00107", "4.2e-5"), *own, *paid, "--influencers", "0,1,2")
    if column in ("communication", "channel"):
        return _messages(clean, column == "communication")
    own = ("--influence", column if column == "simulator" else "model", "--reward", "extrinsic=1")
    if column == "unpaid":
        rates = _rates(".00176", ".00123", "1.2e-5") if clean else _rates(".00495", ".00206", "2.2e-5")
        return (*rates, *own, "--reward", "influence=0")
    # The exact mode has no column in the publication: it is given the numbers of the model of others. Influence counts
    # on visible agents alone in both games; that the model learns from them alone was best in Harvest only.
    if clean:
        return (*_rates(".00176", ".00123", "1.2e-5"), *own, "--reward", _ramp(".620", "4e7"), "--visible-only")
    seen = ("--visible-only", *(("--model-visible-only",) if column == "model" else ()))
    return (*_rates(".00223", ".00120", "4.4e-5"), *own, "--reward", _ramp("2.521", "2.26e8"), *seen)


def _messages(clean: bool, paid: bool) -> tuple[str, ...]:
    """Experiment II; the baseline has the message head's settings of the paid column: none are published for it."""
    if clean:
        head = ("--vocabulary", "9", "--message-entropy", ".000789", "--message-weight", ".0758")
        rates = _rates(".00305", ".00249", "1.27e-5") if paid else _rates(".000249", ".00223", "2.2e-5")
        alpha, beta = "0", _ramp("2.752", "1e6")
    else:
        head = ("--vocabulary", "7", "--message-entropy", ".00208", "--message-weight", ".0709")
        rates = _rates(".00220", ".000413", "4.9e-5") if paid else _rates(".000174", ".00137", "1.27e-5")
        alpha, beta = "1", _ramp("4.825", "8e6")
    own = ("--influence", "communication", "--reward", "extrinsic-action=1")
    if not paid:
        return (*rates, *head, *own, "--reward", "extrinsic-message=1", "--reward", "influence=0")
    return (*rates, *head, *own, "--reward", f"extrinsic-message={alpha}", "--reward", beta)
