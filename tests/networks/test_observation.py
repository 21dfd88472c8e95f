"""The order in which agents name each other."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from suasion.networks import in_slots, pairs_by_agent, pairs_in_slots, slot_agents

agents = st.integers(1, 6)
lead = st.sampled_from([(), (2,), (2, 3)])


@given(agents)
def test_slot_d_of_agent_i_is_agent_i_plus_d(n):
    table = slot_agents(n)
    assert table.tolist() == [[(i + d) % n for d in range(n)] for i in range(n)]


@given(agents, lead, st.integers(0, 99))
def test_values_in_slots(n, shape, seed):
    x = np.random.default_rng(seed).integers(0, 50, (*shape, n)).astype(np.int32)
    y = np.asarray(in_slots(jnp.asarray(x)))
    assert y.shape == (*shape, n, n)
    for i in range(n):
        for d in range(n):
            np.testing.assert_array_equal(y[..., i, d], x[..., (i + d) % n])
    np.testing.assert_array_equal(y[..., 0], x)  # slot 0 is the agent itself


@given(agents, lead, st.integers(0, 99))
def test_pairs_in_slots_and_back(n, shape, seed):
    x = np.random.default_rng(seed).integers(0, 50, (*shape, n, n)).astype(np.int32)
    y = np.asarray(pairs_in_slots(jnp.asarray(x)))
    for i in range(n):
        for d in range(n):
            np.testing.assert_array_equal(y[..., i, d], x[..., i, (i + d) % n])
    np.testing.assert_array_equal(pairs_by_agent(jnp.asarray(y)), x)
    np.testing.assert_array_equal(pairs_in_slots(pairs_by_agent(jnp.asarray(x))), x)
    np.testing.assert_array_equal(
        pairs_in_slots(jnp.broadcast_to(jnp.asarray(x[..., :1, :]), x.shape)), in_slots(jnp.asarray(x[..., 0, :]))
    )
