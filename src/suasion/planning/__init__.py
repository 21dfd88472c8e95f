"""Policy evaluation, improvement, iteration; value iteration; certificates (NumPy + Numba).

Notes: N1.1. Nothing is in this room yet.
"""
