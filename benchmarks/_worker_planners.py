"""Worker: the same model solved by a peer, each in its best mode: QuantEcon, mdpsolver or Storm.

The model is built first; only its solution is timed, twice, each time from a fresh object where one keeps its values.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections.abc import Callable

import numpy as np

from benchmarks._measure import cpu_seconds, tell

ERROR = 1e-6  # asked of each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("model", help="arrays as npz, or for Storm a UMB file")
    parser.add_argument("discount", type=float)
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--values", default="", help="where the values go, as npy")
    given = parser.parse_args()
    fresh = PEERS[given.peer](given)
    seconds, cpu = [], []
    for _ in range(2):
        solve = fresh()
        began, spent = time.perf_counter(), cpu_seconds()
        value = solve()
        seconds.append(time.perf_counter() - began)
        cpu.append(cpu_seconds() - spent)
    if given.values:
        np.save(given.values, value())
    version = importlib.metadata.version({"storm": "stormpy"}.get(given.peer.split("-")[0], given.peer.split("-")[0]))
    tell(first=seconds[0], wall=seconds[1], cpu=cpu[1], version=version)


def quantecon(given: argparse.Namespace) -> Callable:
    """Modified policy iteration, k = 20; a state without choices stays for a reward of 0."""
    from quantecon.markov import DiscreteDP
    from scipy import sparse

    held = np.load(given.model)
    counts = np.diff(held["choice_start"])
    states = len(counts)
    start, target, probability = held["branch_start"], held["target"], held["probability"]
    reward = held["choice_reward"] * (-1 if given.minimise else 1)
    ends = np.flatnonzero(counts == 0)
    index = np.concatenate([np.repeat(np.arange(states), counts), ends])
    order = np.argsort(index, kind="stable")
    matrix = sparse.csr_matrix((probability, target, start), shape=(len(reward), states))
    stays = sparse.csr_matrix((np.ones(len(ends)), (np.arange(len(ends)), ends)), shape=(len(ends), states))
    if len(ends):
        matrix = sparse.vstack([matrix, stays]).tocsr()[order]
        reward = np.concatenate([reward, np.zeros(len(ends))])[order]
        index = index[order]
    first = np.searchsorted(index, np.arange(states))
    action = np.arange(len(index)) - first[index]
    process = DiscreteDP(reward, matrix, given.discount, index, action)

    def solve() -> Callable:
        found = process.solve(method="modified_policy_iteration", epsilon=2 * ERROR, max_iter=1_000_000)
        return lambda: found.v

    return lambda: solve


def mdpsolver(given: argparse.Namespace, algorithm: str = "vi") -> Callable:
    """Value iteration with standard updates, or modified policy iteration; both in parallel."""
    import mdpsolver as peer

    held = np.load(given.model)
    start, target, probability = (held[name].tolist() for name in ("branch_start", "target", "probability"))
    reward = (held["choice_reward"] * (-1 if given.minimise else 1)).tolist()
    ahead = held["choice_start"].tolist()
    columns, weights, rewards = [], [], []
    for s in range(len(ahead) - 1):
        choices = range(ahead[s], ahead[s + 1])
        columns.append([target[start[c] : start[c + 1]] for c in choices] or [[s]])
        weights.append([probability[start[c] : start[c + 1]] for c in choices] or [[1.0]])
        rewards.append(reward[ahead[s] : ahead[s + 1]] or [0.0])

    def fresh() -> Callable:
        model = peer.model()
        model.mdp(discount=given.discount, rewards=rewards, tranMatProbs=weights, tranMatColumns=columns)

        def solve() -> Callable:
            model.solve(algorithm=algorithm, tolerance=ERROR, update="standard", parallel=True, makeFinalCheck=False)
            return lambda: np.array(model.getValueVector())

        return solve

    return fresh


def storm(given: argparse.Namespace) -> Callable:
    """Sound solution to an absolute precision; with a discount, Storm's own discounted objective."""
    import stormpy

    model = stormpy.build_model_from_umb(given.model)
    environment = stormpy.environments.sound()
    solver = environment.solver().min_max()
    solver.precision = stormpy.Rational(ERROR)
    solver.relative_termination_criterion = False
    best = "min" if given.minimise else "max"
    asked = 'F "terminal"' if given.discount == 1 else f"Cdiscount={given.discount}"
    formula = stormpy.parse_property(f'R{{"reward"}}{best}=? [{asked}]')

    def solve() -> Callable:
        result = stormpy.model_checking(model, formula, environment=environment)
        return lambda: np.array(result.get_value_vector())

    return lambda: solve


PEERS = {
    "quantecon": quantecon,
    "mdpsolver": mdpsolver,
    "mdpsolver-mpi": lambda given: mdpsolver(given, "mpi"),
    "storm": storm,
}

if __name__ == "__main__":
    main()
