"""Linear systems and their discretisation, HMM, Kalman and particle filters (NumPy + Numba).

Notes: N1.3.1-d, N(1)-N(13). Nothing is in this room yet.
"""
