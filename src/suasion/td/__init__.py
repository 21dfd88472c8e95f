"""Learning from experience: Monte Carlo, TD, Sarsa, Q-learning; learning from logs (NumPy + Numba).

Notes: N1.2. Nothing is in this room yet.
"""
