"""Markov chain, reward process, decision process, POMDP, policy, file formats (NumPy + SciPy).

Notes: N1.3. Nothing is in this room yet.
"""
