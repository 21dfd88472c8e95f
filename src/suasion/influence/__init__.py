"""Social influence: counterfactuals, communication, models of others, their measures (JAX).

Notes: N(14)-N(18), N-PMI, NX1-NX3 (Jaques et al. 2019). Nothing is in this room yet.
"""
