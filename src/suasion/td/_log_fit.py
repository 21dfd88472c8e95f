r"""The target's values in the empirical model, and what each episode contributes to them (C choices, S states)."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray
from scipy import sparse

from suasion.td._log import Transitions
from suasion.td._log_coverage import reached, solved
from suasion.td._log_frame import Frame, Frequencies, under_rows


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """Values in the empirical model.

    Attributes:
        q: float64[C]; 0 where nothing is known.
        v: float64[S].
        sound: choices whose value rests on nothing that the log does not hold, bool[C].
        inside: states that were solved for, ascending.
        system: I - discount P of them.
    """

    q: Float64[ndarray, "_"]
    v: Float64[ndarray, "_"]
    sound: Bool[ndarray, "_"]
    inside: ndarray
    system: sparse.csc_array


def fitted(found: Frequencies, held: Frame, chance: ndarray, discount: float, *, strict: bool) -> Fitted:
    """Solve for the target's values; choices that are not in the log are worth 0, which makes what leads there unsound.

    Args:
        found: the empirical model.
        held: its choices.
        chance: the target.
        discount: of a step.
        strict: refuse, without a discount, a process that goes on for ever; else that is worth 0 too.

    Raises:
        ValueError: as `strict` says; the state.
    """
    chain = found.chain(chance, held)
    live = ~held.terminal
    if discount == 1:
        leaves = (chain[:, np.flatnonzero(held.terminal)].sum(axis=1) > 0) | (
            under_rows(chance, held) @ (found.visits == 0).astype(np.float64) > 0
        )
        ends = reached(chain.T.tocsr(), np.asarray(leaves) & live) & live
        came = reached(chain, found.initial > 0)
        if strict and (endless := came & live & ~ends).any():
            s = int(np.argmax(endless))
            raise ValueError(
                f"the discount is 1, and from state {s} the target goes on for ever in the empirical model"
            )
        live = ends
    inside = np.flatnonzero(live)
    system = (sparse.eye_array(len(inside)) - discount * chain[inside][:, inside]).tocsc()
    v = np.zeros(held.n_states)
    v[inside] = solved(system, (under_rows(chance, held) @ found.reward)[inside])
    q = np.where(live[held.owner], found.reward + discount * (found.transition @ v), 0.0)
    open_ = (chance > 0) & (found.visits == 0)
    leads = reached(
        chain.T.tocsr(), (under_rows(chance, held) @ open_.astype(np.float64) > 0) | (~live & ~held.terminal)
    )
    sound = (found.visits > 0) & live[held.owner] & (found.transition @ leads.astype(np.float64) == 0)
    return Fitted(q=q, v=v, sound=sound, inside=inside, system=system)


def influence(
    log: Transitions, held: Frame, found: Frequencies, fit: Fitted, chance: ndarray, discount: float
) -> Float64[ndarray, "_"]:
    r"""What each episode contributes to $\hat v$, of mean 0: first-order, by the derivative of the fixed point."""
    visits = np.zeros(held.n_states)
    visits[fit.inside] = solved(fit.system.T.tocsc(), found.initial[fit.inside])
    of_choice = chance * visits[held.owner]
    weight = of_choice[held.choice] / found.visits[held.choice] * len(log.starts)
    error = log.reward + discount * fit.v[log.next_state] - fit.q[held.choice]
    total = np.add.reduceat(weight * error, log.starts)
    first = fit.v[log.state[log.starts]]
    return first - first.mean() + total
