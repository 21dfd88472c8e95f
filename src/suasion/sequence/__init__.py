"""Selective scan, Mamba, language model, weights, sequence tasks (JAX + Equinox).

Notes: N(1)-N(13), NQ1. Nothing is in this room yet.
"""
