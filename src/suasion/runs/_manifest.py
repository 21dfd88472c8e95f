"""What a run ran on: recorded beside the configuration, and not part of it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

_PACKAGES = ("jax", "jaxlib", "numpy", "equinox", "optax")
# What changes the order of sums, and so the last bits of a result.
_SETTINGS = (
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "NPROC",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "CUDA_VISIBLE_DEVICES",
)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of this package, of Python, and of every package that computes."""
    from suasion import __version__

    own = {"suasion": __version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}


def manifest() -> dict[str, Any]:
    """Versions, commit, machine and settings, as JSON values; no time."""
    device = jax.devices()[0]
    return {
        "versions": versions(),
        "commit": commit(),
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "backend": jax.default_backend(),
            "device": device.device_kind,
            "devices": jax.device_count(),
        },
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
    }


def commit() -> str | None:
    """The commit of the code, with `+changes` if files differ from it; None outside a checkout or without git."""
    folder = Path(__file__).resolve().parent
    head = _git(folder, "rev-parse", "HEAD")
    # Only a checkout of this project counts, not one that an installation happens to lie in.
    if head is None or _git(folder, "ls-files", "--error-unmatch", str(Path(__file__).resolve())) is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return head + ("+changes" if changes else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
