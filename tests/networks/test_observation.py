"""The order in which agents name each other."""

import jax.numpy as jnp
import numpy as np
import pytest

from suasion.networks import in_slots, pairs_by_agent, pairs_in_slots, slot_agents

shapes = [(1, ()), (2, (3,)), (3, ()), (5, (2, 3))]


@pytest.mark.parametrize("n", range(1, 7))
def test_slot_d_of_agent_i_is_agent_i_plus_d(n):
    assert slot_agents(n).tolist() == [[(i + d) % n for d in range(n)] for i in range(n)]


@pytest.mark.parametrize(("n", "lead"), shapes)
def test_values_in_slots(n, lead):
    x = np.random.default_rng(n).permutation(int(np.prod(lead)) * n).reshape(*lead, n).astype(np.int32)
    y = np.asarray(in_slots(jnp.asarray(x)))
    assert y.shape == (*lead, n, n)
    for i in range(n):
        for d in range(n):
            np.testing.assert_array_equal(y[..., i, d], x[..., (i + d) % n])
    np.testing.assert_array_equal(y[..., 0], x)  # slot 0 is the agent itself


@pytest.mark.parametrize(("n", "lead"), shapes)
def test_pairs_in_slots_and_back(n, lead):
    x = np.random.default_rng(n).permutation(int(np.prod(lead)) * n * n).reshape(*lead, n, n).astype(np.int32)
    y = np.asarray(pairs_in_slots(jnp.asarray(x)))
    for i in range(n):
        for d in range(n):
            np.testing.assert_array_equal(y[..., i, d], x[..., i, (i + d) % n])
    np.testing.assert_array_equal(pairs_by_agent(jnp.asarray(y)), x)
    np.testing.assert_array_equal(pairs_in_slots(pairs_by_agent(jnp.asarray(x))), x)
