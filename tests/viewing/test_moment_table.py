"""What another would have done in the most influential moment, as Markdown."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from suasion.records import Episode
from suasion.viewing import moment_table


def told(walk: Callable[..., Episode], seed: int, strongest: float, rows: int, varied: str) -> Episode:
    """An episode with tables of two moments, the second the stronger."""
    episode, rng = walk(seed=seed, steps=6), np.random.default_rng(seed)
    influence = np.zeros((6, 3, 3), np.float32)
    influence[1, 0, 2], influence[3, 2, 1] = strongest / 2, strongest
    tables = rng.dirichlet(np.ones(7), (2, rows))
    return replace(
        episode,
        influence=influence,
        messages=np.full((6, 3), rows - 1, np.int16),
        moments=np.array([[1, 0, 2, 2], [3, 2, 1, 4]], np.int32),
        conditionals=np.rint(255 * tables).astype(np.uint8),
        marginals=np.rint(255 * tables.mean(1)).astype(np.uint8),
        varied=varied,
        marginal="average" if varied == "message" else "policy",
    )


def test_the_strongest_of_all_episodes(walk: Callable[..., Episode]) -> None:
    episodes = [
        told(walk, 0, 0.5, 7, "action"),
        walk(),
        told(walk, 1, 0.75, 7, "action"),
        told(walk, 2, 0.75, 7, "action"),
    ]
    text = moment_table(episodes)
    assert text is not None
    best = episodes[2]
    did, then = best.actions_names[best.actions[3, 2]], best.actions_names[best.actions[4, 1]]
    lines = text.splitlines()
    assert lines[0] == (
        "Episode 2, step 3, 0.75 nats: what agent 2 would do in step 4. "
        f"agent 3 had done {did}; then agent 2 did {then}."
    )
    assert lines[2] == "| had agent 3 done | " + " | ".join(best.actions_names) + " |"
    rows = [line.strip("| ").split(" | ") for line in lines[4:]]
    assert [row[0] for row in rows[:-1]] == [f"**{x}**" if x == did else x for x in best.actions_names]
    assert rows[-1][0] == "on average over the policy of agent 3 in its state"
    expected = np.concatenate([best.conditionals[1], best.marginals[1][None]]) / 255
    np.testing.assert_allclose([[float(x) for x in row[1:]] for row in rows], expected, atol=0.0051)


@pytest.mark.parametrize("symbols", [4, 80])
def test_messages(walk: Callable[..., Episode], symbols: int) -> None:
    text = moment_table([told(walk, 0, 0.5, symbols, "message")])
    assert text is not None
    lines = text.splitlines()
    assert f"agent 3 had said {symbols - 1}; then" in lines[0]
    assert lines[2].startswith("| had agent 3 said | left |")
    named = [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("|")][2:]
    kept = [str(c) for c in range(min(symbols, 64)) if c != symbols - 1]
    assert named == [*kept, f"**{symbols - 1}**", "on average over all steps of the episodes"]
    assert text.endswith("15 more are not shown.\n") == (symbols == 80)


def test_without_tables_there_is_none(walk: Callable[..., Episode]) -> None:
    assert moment_table([]) is None
    assert moment_table([walk()]) is None


def test_names_do_not_end_their_cell(walk: Callable[..., Episode]) -> None:
    evil = "a | b\n<script>"
    text = moment_table([replace(told(walk, 0, 0.5, 7, "action"), agents=("x", evil, evil))])
    assert text is not None
    assert "<script>" not in text.replace("\\<", "")
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}) == 1
