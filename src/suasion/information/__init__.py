"""Entropy, divergences, mutual information, estimators (array API: NumPy and JAX from one text).

Notes: N-CMI, N-KL, N(16)-N(18), N-PMI. Nothing is in this room yet.
"""
