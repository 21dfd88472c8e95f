"""A small model whose episodes can all be listed, logs written row by row, and estimators as loops."""

import numpy as np
import pytest

from suasion.markov import MDP
from suasion.td import Transitions


def layered(seed=0, layers=3, width=2, actions=2):
    """Layers of states, each leading to the next or to the end; two branches for each choice; rewards on branches."""
    rng = np.random.default_rng(seed)
    size = layers * width
    counts = np.append(np.full(size, actions), 0)
    target, probability, reward = [], [], []
    for s in range(size):
        below = np.arange((s // width + 1) * width, (s // width + 2) * width) if s < size - width else np.array([size])
        for _ in range(actions):
            reached = rng.choice(np.append(below, size) if len(below) > 1 else below, 2)
            p = rng.uniform(0.2, 0.8)
            target += reached.tolist()
            probability += [p, 1 - p]
            reward += rng.normal(size=2).tolist()
    initial = np.zeros(size + 1)
    initial[:width] = 1 / width
    return MDP.from_branches(
        choice_start=np.concatenate([[0], np.cumsum(counts)]),
        branch_start=np.arange(0, len(target) + 1, 2),
        target=np.array(target),
        probability=np.array(probability),
        branch_reward=np.array(reward),
        terminal=counts == 0,
        initial=initial,
    )


def every_episode(mdp, behaviour):
    """(probability, rows) of each episode there is; a row is (s, a, r, s', terminated, truncated, b)."""
    rewards = np.repeat(mdp.choice_reward, np.diff(mdp.branch_start)) + mdp.branch_reward

    def onward(s, rows, p):
        if mdp.terminal[s]:
            yield p, rows
            return
        for c in mdp.choices(s):
            b = float(behaviour.probability[c])
            for k in range(mdp.branch_start[c], mdp.branch_start[c + 1]):
                after = int(mdp.target[k])
                row = (s, int(mdp.action[c]), float(rewards[k]), after, bool(mdp.terminal[after]), False, b)
                yield from onward(after, [*rows, row], p * b * float(mdp.probability[k]))

    for s in np.flatnonzero(mdp.initial):
        yield from onward(int(s), [], float(mdp.initial[s]))


def written(episodes, run=0):
    """A log of lists of rows."""
    rows = [row for episode in episodes for row in episode]
    s, a, r, after, terminated, truncated, b = zip(*rows, strict=True)
    return Transitions(
        run=np.full(len(rows), run, np.int32),
        episode=np.repeat(np.arange(len(episodes)), [len(e) for e in episodes]).astype(np.int32),
        time=np.concatenate([np.arange(len(e)) for e in episodes]).astype(np.int32),
        state=np.array(s, np.int32),
        action=np.array(a, np.int32),
        reward=np.array(r, np.float64),
        next_state=np.array(after, np.int32),
        terminated=np.array(terminated),
        truncated=np.array(truncated),
        behaviour=np.array(b, np.float64),
    )


@pytest.fixture(scope="session")
def tiny():
    """The model, and what lists and writes its episodes."""
    return {"layered": layered, "every": every_episode, "written": written}
