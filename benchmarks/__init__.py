"""Our speed and memory, measured against bars and, interleaved, against named peers: `python -m benchmarks`.

`environment`, `training` and `start` are one module each; `README.md` says what they measure. Every figure comes from a
process of its own, a worker (`_worker_*.py`) that prints one line of JSON. Workers run under their contender's own
interpreter, so what they share (`_measure.py`, this file) is the standard library alone.
"""
