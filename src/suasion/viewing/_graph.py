"""Chains and decision processes as graphs: which circles, squares and arrows there are, and what is written on them.

Letters of the shapes: S states, C choices.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy.sparse import csr_array

from suasion.markov import MDP, MarkovChain, MarkovRewardProcess
from suasion.viewing._graph_picture import Arc, Node, draw_graph

MOST_STATES = 40
MOST_ARROWS = 120


def chain_figure(
    chain: MarkovChain | MarkovRewardProcess,
    *,
    value: Float[np.ndarray, "S"] | None = None,
    positions: Float[np.ndarray, "S 2"] | None = None,
    title: str = "",
    width: float | None = None,
) -> Figure:
    """Draw a Markov chain or reward process: circles for states, arrows with their probabilities.

    A state that cannot be left has a double border. `r` is the reward on leaving a state, or on an arrow where it
    depends on both ends; `v` is the value, which tints the circle as well. An arrow from nowhere marks the first
    states, if they are known and at most three.

    Args:
        chain: at most 40 states and 120 arrows.
        value: of each state, in reward units.
        positions: (right, up) of each state on paper, in steps from one to the next; NaN where a place is to be found.
        title: over the figure.
        width: in inches; wider if names need it. By the graph, if not given.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: more states or arrows than can be read, with their number; or numbers of values or positions that
            differ from that of the states, or values that are not finite.
    """
    process = chain if isinstance(chain, MarkovRewardProcess) else None
    chain = chain.chain if isinstance(chain, MarkovRewardProcess) else chain
    table = csr_array(chain.transition).tocoo()
    kept = table.data > 0
    rows, columns, p = table.row[kept], table.col[kept], table.data[kept]
    check_size(chain.n_states, len(p))
    _check(chain.n_states, value, positions)
    reward = None if process is None or process.transition_reward is None else csr_array(process.transition_reward)
    by_state = None if process is None or reward is not None else process.reward
    places = _places(chain.n_states, positions)
    nodes = [
        Node(
            name=chain.states[s] if chain.states else str(s),
            details=(*_told("r", by_state, s), *_told("v", value, s)),
            kind="end" if _held(rows, columns, s) else "state",
            number=s,
            shade=_shade(value, s),
            at=places[s],
        )
        for s in range(chain.n_states)
    ]
    paid = ["" if reward is None else f", r {_number(reward[i, j])}" for i, j in zip(rows, columns, strict=True)]
    arcs = [
        Arc(source=int(i), target=int(j), text=_number(x) + more)
        for i, j, x, more in zip(rows, columns, p, paid, strict=True)
        if nodes[i].kind != "end"
    ]
    key = ["number on an arrow: probability", *(["r: reward"] if process is not None else []), *_key(value)]
    return draw_graph(nodes, arcs, _first(chain.initial), title=title, key=key, width=width)


def decision_figure(
    mdp: MDP,
    *,
    policy: Int[np.ndarray, "S"] | None = None,
    value: Float[np.ndarray, "S"] | None = None,
    only_policy: bool = False,
    positions: Float[np.ndarray, "S 2"] | None = None,
    title: str = "",
    width: float | None = None,
) -> Figure:
    """Draw a decision process: circles for states, squares for actions, arrows to the next states.

    Beside a square stand the action and its reward `r`; on an arrow the probability, if it is not 1, and the reward,
    where that depends on the outcome. The policy is thick. Ends have a double border, an arrow from nowhere marks the
    first states, and `v` is the value, which tints the circle as well. Where no state has a choice, and with
    `only_policy`, there are no squares: the action stands in the circle.

    Args:
        mdp: at most 40 states and 120 arrows.
        policy: the choice of each state, as `Solution.policy`; -1 where there is none.
        value: of each state, in reward units.
        only_policy: leave out what the policy does not choose, and states that it does not reach from the first ones.
        positions: (right, up) of each state on paper, in steps from one to the next; NaN where a place is to be found.
        title: over the figure.
        width: in inches; wider if names need it. By the graph, if not given.

    Returns:
        A figure, for `save_figure`.

    Raises:
        ValueError: more states or arrows than can be read, with their number; a choice that a state does not have;
            numbers of values or positions that differ from that of the states, or values that are not finite.
    """
    chosen = _chosen(mdp, policy, only_policy)
    drawn = np.flatnonzero(chosen) if only_policy else np.arange(mdp.n_choices)
    owner = np.repeat(np.arange(mdp.n_states), np.diff(mdp.choice_start))
    kept = _kept(mdp, chosen) if only_policy else np.arange(mdp.n_states)
    drawn = drawn[np.isin(owner[drawn], kept)]
    check_size(len(kept), len(drawn))
    outcomes = {int(c): _outcomes(mdp, int(c)) for c in drawn}
    check_size(len(kept), sum(map(len, outcomes.values())))
    _check(mdp.n_states, value, positions)
    squares = not only_policy and bool((np.diff(mdp.choice_start) > 1).any())
    said = {} if squares else {int(owner[c]): _action(mdp, int(c), only_policy) for c in drawn}
    nodes = _circles(mdp, kept, said, value, positions)
    place = {node.number: n for n, node in enumerate(nodes)}
    arcs = []
    for c in map(int, drawn):
        source, heavy = place[int(owner[c])], bool(chosen[c])
        if squares:
            nodes.append(Node(name=_action(mdp, c, True), kind="action", number=c, heavy=heavy))
            arcs.append(Arc(source=source, target=len(nodes) - 1, heavy=heavy, head=False))
            source = len(nodes) - 1
        for s, text in outcomes[c].items():
            arcs.append(Arc(source=source, target=place[s], text=text, heavy=heavy and squares))
    first = tuple(place[s] for s in _first(mdp.initial))
    return draw_graph(nodes, arcs, first, title=title, key=_signs(mdp, squares, policy, value), width=width)


def _circles(
    mdp: MDP,
    kept: np.ndarray,
    said: dict[int, str],
    value: Float[np.ndarray, "_"] | None,
    positions: Float[np.ndarray, "_ 2"] | None,
) -> list[Node]:
    """The states that are kept; `said` is what is said of the action within."""
    places = _places(mdp.n_states, positions)
    return [
        Node(
            name=mdp.states[s] if mdp.states else str(s),
            details=(*((said[s],) if said.get(s) else ()), *_told("v", value, s)),
            kind="end" if mdp.terminal[s] else "state",
            number=s,
            shade=_shade(value, s),
            at=places[s],
        )
        for s in map(int, kept)
    ]


def _kept(mdp: MDP, chosen: np.ndarray) -> np.ndarray:
    """States to which the chosen choices lead from the first ones; all, where these are not known."""
    if mdp.initial is None:
        return np.arange(mdp.n_states)
    found = set(map(int, np.flatnonzero(mdp.initial)))
    fresh = sorted(found)
    while fresh:
        s = fresh.pop()
        for c in (c for c in mdp.choices(s) if chosen[c]):
            targets = set(map(int, mdp.target[mdp.branch_start[c] : mdp.branch_start[c + 1]])) - found
            found |= targets
            fresh += sorted(targets)
    return np.array(sorted(found))


def _signs(mdp: MDP, squares: bool, policy: np.ndarray | None, value: np.ndarray | None) -> list[str]:
    """The key."""
    key = ["square: action"] if squares else []
    key += ["number on an arrow: probability, if not 1"]
    key += ["r: reward"] if mdp.choice_reward.any() or mdp.branch_reward is not None else []
    return key + (["thick: policy"] if squares and policy is not None else []) + _key(value)


def _key(value: np.ndarray | None) -> list[str]:
    return [] if value is None else ["v: value"]


def _chosen(mdp: MDP, policy: Int[np.ndarray, "S"] | None, only_policy: bool) -> np.ndarray:
    """bool[C]: whether the policy takes a choice."""
    chosen = np.zeros(mdp.n_choices, bool)
    if policy is None:
        if only_policy:
            raise ValueError("only_policy is set, and no policy is given")
        return chosen
    if len(policy) != mdp.n_states:
        raise ValueError(f"policy has {len(policy)} entries, not one for each of {mdp.n_states} states")
    for s, c in enumerate(policy):
        if c >= 0 and c not in mdp.choices(s):
            held = mdp.choices(s)
            raise ValueError(f"policy[{s}] is {c}: the choices of state {s} are {held.start} to {held.stop - 1}")
    chosen[policy[policy >= 0]] = True
    return chosen


def _outcomes(mdp: MDP, choice: int) -> dict[int, str]:
    """Next state -> what stands on the arrow; a line for each reward."""
    found: dict[int, list[str]] = {}
    common = _common(mdp, choice)
    for b in range(int(mdp.branch_start[choice]), int(mdp.branch_start[choice + 1])):
        p, parts = float(mdp.probability[b]), []
        if p != 1:
            parts.append(_number(p))
        if mdp.branch_reward is not None and common is None and mdp.branch_reward[b] != 0:
            parts.append(f"r {_number(mdp.branch_reward[b])}")
        found.setdefault(int(mdp.target[b]), []).append(", ".join(parts))
    return {s: "\n".join(lines) for s, lines in found.items()}


def _common(mdp: MDP, choice: int) -> float | None:
    """The branches' reward, where all of a choice have the same: then it is the choice's."""
    if mdp.branch_reward is None:
        return 0.0
    held = mdp.branch_reward[mdp.branch_start[choice] : mdp.branch_start[choice + 1]]
    return float(held[0]) if (held == held[0]).all() else None


def _action(mdp: MDP, choice: int, named: bool) -> str:
    """An action's name, or `a` and its number, and its reward, if that is not 0."""
    a, reward = int(mdp.action[choice]), float(mdp.choice_reward[choice]) + (_common(mdp, choice) or 0.0)
    name = (mdp.actions[a] if a < len(mdp.actions) else f"a{a}") if named else ""
    return ", ".join(part for part in (name, f"r {_number(reward)}" if reward else "") if part)


def check_size(states: int, arrows: int = 0) -> None:
    """Refuse what no graph could show legibly.

    Raises:
        ValueError: more than 40 states or 120 arrows; with their number.
    """
    if states > MOST_STATES:
        raise ValueError(f"the model has {states:,} states: a graph shows at most {MOST_STATES}")
    if arrows > MOST_ARROWS:
        raise ValueError(f"there are {arrows:,} arrows: a graph shows at most {MOST_ARROWS}")


def _check(states: int, value: Float[np.ndarray, "_"] | None, positions: Float[np.ndarray, "_ 2"] | None) -> None:
    for name, held in (("value", value), ("positions", positions)):
        if held is not None and len(held) != states:
            raise ValueError(f"{name} has {len(held)} entries, not one for each of {states} states")
    if value is not None and not np.isfinite(value).all():
        s = int(np.argmax(~np.isfinite(value)))
        raise ValueError(f"value[{s}] is {value[s]}; must be finite")


def _places(states: int, positions: Float[np.ndarray, "_ 2"] | None) -> list[tuple[float, float]]:
    held = np.full((states, 2), np.nan) if positions is None else positions
    return [(float(right), float(up)) for right, up in held]


def _first(initial: Float[np.ndarray, "_"] | None) -> tuple[int, ...]:
    """First states, where it says something that they are."""
    found = () if initial is None else tuple(int(s) for s in np.flatnonzero(initial))
    return found if len(found) <= 3 else ()


def _held(rows: np.ndarray, columns: np.ndarray, s: int) -> bool:
    """Whether a state leads to itself alone."""
    return bool((columns[rows == s] == s).all())


def _told(sign: Literal["r", "v"], held: Float[np.ndarray, "_"] | None, s: int) -> tuple[str, ...]:
    return () if held is None else (f"{sign} {_number(held[s])}",)


def _shade(value: Float[np.ndarray, "_"] | None, s: int) -> float:
    """0 for the least value, 1 for the greatest."""
    if value is None or value.max() - value.min() <= 1e-6 * np.abs(value).max():  # equal but for an iteration's error
        return 0.0
    return float((value[s] - value.min()) / (value.max() - value.min()))


def _number(x: float | np.floating) -> str:
    """Three digits, with the sign that belongs to numbers."""
    return f"{float(x):.3g}".replace("-", "−")
