r"""What messages mean and what they change: speaker consistency and instantaneous coordination, in NumPy (NX2).

Both are estimated from the counts of whole episodes, and such estimates are too high: what is said once is said
consistently, and no two series are quite independent in a sample. Each comes therefore with a null: what it is when
every agent's episodes are put in an order of its own, so that what k said in one episode meets what j did in another.
Episodes are exchangeable, steps are not: neighbouring steps are alike, and all episodes begin and end alike. Nulls that
shuffle steps or shift them in circles cry wolf for such series, this one does not (`docs/influence.md` has the rates).

Letters of the shapes: t steps, e episodes, n agents, p orders of the episodes; k speaks, j acts; x and y are symbols.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer

from suasion.information import PermutationNull, entropy, mutual_information
from suasion.records import Episode

Series = Sequence[Integer[np.ndarray, "_ n"]]
"""Symbols or actions of every agent in every step, one array an episode; -1 is no symbol."""

_AT_ONCE = 1 << 22  # numbers of the tables that are gathered together
_ROUNDING = 1e-12  # equal numbers, summed in another order


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speaker:
    """How consistent one agent is.

    Attributes:
        value: mean of the two below, 0 to 1; None where they are.
        by_message: 1 - H(a | m = c) / ln(actions), mean over the symbols c that it says: a symbol goes with one action.
        by_action: 1 - H(m | a) / ln(symbols), mean over the actions that it takes: an action goes with one symbol.
        unseen_symbols: that it never says, counted from 0: of them nothing is known, and they are left out.
        unseen_actions: likewise.
        reason: why it is undefined; empty where it is not.
    """

    value: float | None
    by_message: float | None
    by_action: float | None
    unseen_symbols: tuple[int, ...]
    unseen_actions: tuple[int, ...]
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consistency:
    """Speaker consistency of a society.

    Attributes:
        value: mean over the speakers for whom it is defined; None where there are none.
        speakers: every agent.
        null: of the value; None where there is no value, or no two episodes of one length to be exchanged.
    """

    value: float | None
    speakers: tuple[Speaker, ...]
    null: PermutationNull | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coordination:
    """Instantaneous coordination of a society, in nats.

    Attributes:
        value: the largest over ordered pairs; None where no pair has a moment.
        pair: k and j of it, counted from 0.
        pairs: at [k, j] that of the pair; NaN where it is undefined, as from an agent to itself.
        null: of the value, likewise the largest over pairs; None as in `Consistency`.
    """

    value: float | None
    pair: tuple[int, int] | None
    pairs: Float64[np.ndarray, "n n"]
    null: PermutationNull | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Talk:
    """What is said and done, over some moments.

    Attributes:
        consistency: of the speakers.
        message_action: coordination of messages with the others' next actions.
        action_action: coordination of actions with the others' next actions.
    """

    consistency: Consistency
    message_action: Coordination
    action_action: Coordination


@dataclasses.dataclass(frozen=True, kw_only=True)
class Communication:
    """How agents of some episodes communicate.

    Attributes:
        everywhere: over all moments.
        influential: over influential ones, see `influential`; a speaker's are those in which its influence on all
            together is at least its mean. None where influence was not measured.
    """

    everywhere: Talk
    influential: Talk | None


def communication(
    episodes: Sequence[Episode], *, symbols: int, permutations: int = 1000, seed: int | np.random.Generator
) -> Communication:
    """All measures of this chapter for recorded episodes of one game.

    Args:
        episodes: with messages.
        symbols: of the vocabulary.
        permutations: of each null.
        seed: of the nulls, or the generator that makes them.

    Raises:
        ValueError: no episode, one without messages, or what `speaker_consistency` and `coordination` refuse.
    """
    messages = [episode.messages for episode in episodes if episode.messages is not None]
    if len(messages) < len(episodes):
        raise ValueError(f"{len(episodes) - len(messages)} of {len(episodes)} episodes have no messages")
    if not episodes:
        raise ValueError("there is no episode to measure")
    actions, choices = [episode.actions for episode in episodes], len(episodes[0].actions_names)
    influence = [episode.influence for episode in episodes if episode.influence is not None]
    generator = np.random.default_rng(seed)

    def talk(speakers: Sequence[np.ndarray] | None, pairs: Sequence[np.ndarray] | None) -> Talk:
        settings: dict[str, Any] = {"permutations": permutations, "seed": generator}
        return Talk(
            consistency=speaker_consistency(
                messages, actions, symbols=symbols, choices=choices, moments=speakers, **settings
            ),
            message_action=coordination(messages, actions, moments=pairs, **settings),
            action_action=coordination(actions, actions, moments=pairs, **settings),
        )

    if len(influence) < len(episodes):
        return Communication(everywhere=talk(None, None), influential=None)
    exerted = influential([episode.sum(2) for episode in influence])
    return Communication(everywhere=talk(None, None), influential=talk(exerted, influential(influence)))


def speaker_consistency(
    messages: Series,
    actions: Series,
    *,
    symbols: int,
    choices: int,
    moments: Sequence[Bool[np.ndarray, "_ n"]] | None = None,
    permutations: int = 1000,
    seed: int | np.random.Generator,
) -> Consistency:
    r"""How far an agent's messages and its own actions of the same step tell each other.

    $\frac{1}{2} \left[ \overline{1 - H(a^k | m^k = c) / \ln |A|} + \overline{1 - H(m^k | a^k = a) / \ln |M|} \right]$,
    each mean over the symbols c and actions a that occur: 1 for a perfect code. Noise gives about 0 where all symbols
    and actions are used, and more where they are not, since entropies then stay below their bound: the null says what.
    An agent that says one symbol only, or takes one action only, tells nothing: undefined.

    Args:
        messages: of each episode.
        actions: of the same steps.
        symbols: |M|, from 2.
        choices: |A|, from 2.
        moments: steps that count, of each agent; None for all.
        permutations: of the null, from 1.
        seed: of the null, or the generator that makes it.

    Raises:
        ValueError: fewer than two symbols or actions, numbers that are none of them, no episode, shapes that differ.

    References:
        Jaques et al. (2019), equation 8, which sums over agents and symbols; here means, in [0, 1].
    """
    for name, number in (("symbols", symbols), ("choices", choices)):
        if number < 2:
            raise ValueError(f"{name} is {number}, must be at least 2")
    _check_symbols("messages", messages, -1, symbols)
    _check_symbols("actions", actions, 0, choices)
    if moments is not None:
        _check_shapes("moments", moments, actions, ())
        messages = [np.where(where, said, -1) for said, where in zip(messages, moments, strict=True)]
    groups = _groups("messages", messages, actions, None, permutations, seed)
    speakers, values = [], []
    for k in range(actions[0].shape[1]):
        parts = [_Part(g.signals[:, :, k], g.actions[:, :, k], g.orders[:, k], g.orders[:1, k]) for g in groups]
        tables = _tables(parts, symbols, choices)
        each = np.stack(_consistencies(tables))
        speakers.append(_speaker(tables[0], *each[:, 0].tolist()))
        if speakers[-1].value is not None:
            values.append(each.mean(0))
    mean = np.mean(values, 0) if values else None
    return Consistency(
        value=None if mean is None else float(mean[0]), speakers=tuple(speakers), null=_null(mean, groups)
    )


def coordination(
    signals: Series,
    actions: Series,
    *,
    moments: Sequence[Bool[np.ndarray, "_ n n"]] | None = None,
    permutations: int = 1000,
    seed: int | np.random.Generator,
) -> Coordination:
    r"""How much what k says or does tells about what j does in the next step: $\max_{k \neq j} I(x^k_t; a^j_{t+1})$.

    The plug-in mutual information of all pairs of neighbouring steps inside episodes. The null is that of the maximum:
    a p-value says how often independent agents reach the value with any pair. It is no test of causes: agents that see
    one world are not independent, with or without messages, so compare with a baseline as well.

    Args:
        signals: messages, or actions, of each episode.
        actions: of the same steps.
        moments: at [t, k, j] whether step t of k counts with step t + 1 of j; None for all.
        permutations: of the null, from 1.
        seed: of the null, or the generator that makes it.

    Raises:
        ValueError: fewer than two agents, numbers below 0 (signals: -1), no episode, shapes that differ.

    References:
        Jaques et al. (2019), section 4; the notes' NX2.
    """
    _check_symbols("signals", signals, -1, None)
    _check_symbols("actions", actions, 0, None)
    groups = _groups("signals", signals, actions, moments, permutations, seed)
    agents = actions[0].shape[1]
    if agents < 2:
        raise ValueError(f"coordination needs two agents, there are {agents}")
    pairs, each = np.full((agents, agents), math.nan), []
    for k, j in np.argwhere(~np.eye(agents, dtype=bool)).tolist():
        parts = [_Part(_where(g, k, j)[:, :-1], g.actions[:, 1:, j], g.orders[:, k], g.orders[:, j]) for g in groups]
        tables = _tables(parts)
        if tables[0].any():
            each.append(mutual_information(tables / tables.sum((1, 2), keepdims=True)))
            pairs[k, j] = each[-1][0]
    if not each:
        return Coordination(value=None, pair=None, pairs=pairs, null=None)
    largest = np.max(each, 0)
    pair = divmod(int(np.nanargmax(pairs)), agents)
    return Coordination(value=float(largest[0]), pair=pair, pairs=pairs, null=_null(largest, groups))


def influential(influence: Sequence[Float[np.ndarray, "_ *k"]]) -> list[Bool[np.ndarray, "_ *k"]]:
    """Influential moments: steps in which influence is at least its mean over all steps of all episodes.

    Where there is no influence at all, there are no such moments.

    Args:
        influence: in each step of each episode, in nats: [t, k, j] of k on j, [t, k] of k on all together.

    Raises:
        ValueError: no step at all.
    """
    if not sum(map(len, influence)):
        raise ValueError("there is no step whose influence could be above a mean")
    steps = np.concatenate(list(influence))
    mean, some = steps.mean(0, dtype=np.float64), np.any(steps != 0, 0)
    least = mean - _ROUNDING * np.abs(mean)  # equal numbers are their own mean
    return [(episode >= least) & some for episode in influence]


class _Group(NamedTuple):
    """Episodes of one length, and the orders in which every agent's are put, the first as they really were."""

    signals: Int64[np.ndarray, "e t n"]
    actions: Int64[np.ndarray, "e t n"]
    moments: Bool[np.ndarray, "e t n n"] | None
    orders: Int64[np.ndarray, "p n e"]


class _Part(NamedTuple):
    """Two series of the episodes of a group, and the orders in which they meet."""

    x: Int64[np.ndarray, "e t"]
    y: Int64[np.ndarray, "e t"]
    x_orders: Int64[np.ndarray, "p e"]
    y_orders: Int64[np.ndarray, "q e"]


def _groups(
    name: str,
    signals: Series,
    actions: Series,
    moments: Sequence[Bool[np.ndarray, "_ n n"]] | None,
    permutations: int,
    seed: int | np.random.Generator,
) -> list[_Group]:
    """The episodes by their length: only equal lengths can be exchanged without a change in what is counted."""
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}, must be at least 1")
    if not sum(map(len, actions)):
        raise ValueError("there is no step to measure")
    _check_shapes(name, signals, actions, ())
    lengths, agents = np.array([len(episode) for episode in actions]), actions[0].shape[1]
    if moments is not None:
        _check_shapes("moments", moments, actions, (agents,))
    generator, groups = np.random.default_rng(seed), []
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length).tolist()
        orders = np.tile(np.arange(len(chosen)), (1 + permutations, agents, 1))
        orders[1:] = generator.permuted(orders[1:], axis=2)
        given = np.stack([signals[e] for e in chosen]).astype(np.int64)
        done = np.stack([actions[e] for e in chosen]).astype(np.int64)
        where = None if moments is None else np.stack([moments[e] for e in chosen])
        groups.append(_Group(given, done, where, orders))
    return groups


def _where(group: _Group, k: int, j: int) -> Int64[np.ndarray, "e t"]:
    """What k signals, -1 in steps that do not count for the pair."""
    given = group.signals[:, :, k]
    return given if group.moments is None else np.where(group.moments[:, :, k, j], given, -1)


def _tables(parts: Sequence[_Part], symbols: int = 0, choices: int = 0) -> Float64[np.ndarray, "p x y"]:
    """Joint counts of two series under every order; of as many symbols as are given, or else as occur."""
    x_names, x_codes = _codes([part.x for part in parts], symbols)
    y_names, y_codes = _codes([part.y for part in parts], choices)
    counts = np.zeros((len(parts[0].x_orders), x_names, y_names))
    for part, x, y in zip(parts, x_codes, y_codes, strict=True):
        episodes, steps = x.shape
        # Counts of every episode's x with every episode's y: an order then only adds up some of them.
        hot_x = (x[:, None] == np.arange(x_names)[:, None]).reshape(episodes * x_names, steps).astype(np.float32)
        hot_y = (y[:, None] == np.arange(y_names)[:, None]).reshape(episodes * y_names, steps).astype(np.float32)
        crossed = (hot_x @ hot_y.T).reshape(episodes, x_names, episodes, y_names).transpose(0, 2, 1, 3)
        rows = max(1, _AT_ONCE // max(1, crossed[0].size))
        y_orders = np.broadcast_to(part.y_orders, part.x_orders.shape)
        for begin in range(0, len(counts), rows):
            now = slice(begin, begin + rows)
            counts[now] += crossed[part.x_orders[now], y_orders[now]].sum(1, dtype=np.float64)
    return counts


def _codes(parts: Sequence[Int64[np.ndarray, "_ _"]], size: int) -> tuple[int, list[Int64[np.ndarray, "_ _"]]]:
    """Symbols numbered from 0, -1 for none, and how many; those that never occur only where `size` counts them."""
    if size:
        return size, list(parts)
    used = np.unique(np.concatenate([part.reshape(-1) for part in parts]))
    used = used[used >= 0]
    return len(used), [np.where(part < 0, -1, np.searchsorted(used, part)) for part in parts]


def _consistencies(tables: Float64[np.ndarray, "p x y"]) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
    """By message (rows) and by action (columns), means over those that occur."""
    return _certainty(tables), _certainty(tables.transpose(0, 2, 1))


def _certainty(tables: Float64[np.ndarray, "p x y"]) -> Float64[np.ndarray, " p"]:
    """1 - H(y | x) / ln(number of y), mean over the x that occur; 0 where none does."""
    totals = tables.sum(2, keepdims=True)
    occurs = totals[..., 0] > 0
    given = np.where(totals > 0, tables / np.where(totals > 0, totals, 1.0), 1 / tables.shape[2])
    certain = 1 - entropy(given) / math.log(tables.shape[2])
    return np.where(occurs, certain, 0.0).sum(1) / np.maximum(occurs.sum(1), 1)


def _speaker(table: Float64[np.ndarray, "x y"], by_message: float, by_action: float) -> Speaker:
    unseen_symbols, unseen_actions = (np.flatnonzero(table.sum(axis) == 0).tolist() for axis in (1, 0))
    said, done = table.shape[0] - len(unseen_symbols), table.shape[1] - len(unseen_actions)
    reason = "it says nothing" if not said else "it says one symbol only" if said == 1 else ""
    reason = reason or ("it takes one action only" if done == 1 else "")
    return Speaker(
        value=None if reason else (by_message + by_action) / 2,
        by_message=None if reason else by_message,
        by_action=None if reason else by_action,
        unseen_symbols=tuple(unseen_symbols),
        unseen_actions=tuple(unseen_actions),
        reason=reason,
    )


def _null(values: Float64[np.ndarray, " p"] | None, groups: Sequence[_Group]) -> PermutationNull | None:
    """Where the first value, the real one, lies among the others; None where nothing can be exchanged."""
    if values is None or all(group.orders.shape[2] == 1 for group in groups):
        return None
    value, null = values[0], values[1:]
    reached = int(np.count_nonzero(null >= value - _ROUNDING))
    return PermutationNull(
        value=float(value),
        null_mean=float(null.mean()),
        null_95=float(np.quantile(null, 0.95)),
        p_value=(1 + reached) / (1 + len(null)),
        permutations=len(null),
    )


def _check_symbols(name: str, series: Series, least: int, size: int | None) -> None:
    for episode, values in enumerate(series):
        wrong = (values < least) | (values >= (math.inf if size is None else size))
        for t, k in np.argwhere(wrong).tolist():
            bound = f"at least {least}" if size is None else f"{least} to {size - 1}"
            raise ValueError(f"{name}[{episode}][{t}, {k}] is {values[t, k]}, must be {bound}")


def _check_shapes(name: str, series: Sequence[np.ndarray], actions: Series, more: tuple[int, ...]) -> None:
    if len(series) != len(actions):
        raise ValueError(f"{name} of {len(series)} episodes, actions of {len(actions)}")
    for episode, (values, done) in enumerate(zip(series, actions, strict=True)):
        wanted = (len(done), actions[0].shape[1], *more)
        if values.shape != wanted or done.shape != wanted[:2]:
            told = f"actions {list(done.shape)}" if done.shape != wanted[:2] else f"{name} {list(values.shape)}"
            raise ValueError(f"episode {episode}: {told}, not {list(wanted)}")
