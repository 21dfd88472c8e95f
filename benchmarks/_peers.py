"""Peers: their checkouts, which the user has, and environments with what they import, from the package index."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from benchmarks._processes import ROOT, BenchmarkError, Contender, say, tail

_ENVIRONMENTS = ROOT / ".peers"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """A project to compare with.

    Attributes:
        key: of its option and its environment.
        title: in tables.
        url: where a checkout comes from.
        module: the worker that plays it.
        holds: a file by which a checkout is recognised.
        requirements: what importing and stepping its environments needs, in the versions that it names itself
            where it names any; of RLlib, nothing.
    """

    key: str
    title: str
    url: str
    module: str
    holds: str
    requirements: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The environment variable that may name the checkout."""
        return f"SUASION_{self.key.upper()}"


SOCIALJAX = Peer(
    key="socialjax",
    title="SocialJax",
    url="https://github.com/cooperativex/SocialJax",
    module="_worker_socialjax",
    holds="socialjax/environments/cleanup/clean_up.py",
    requirements=(
        "jax==0.6.2",
        "jaxlib==0.6.2",
        "flax==0.10.7",
        "chex==0.1.84",
        "numpy==1.26.4",
        "scipy==1.12.0",
    ),
)
SSD = Peer(
    key="ssd",
    title="SSD games",
    url="https://github.com/eugenevinitsky/sequential_social_dilemma_games",
    module="_worker_ssd",
    holds="social_dilemmas/envs/cleanup.py",
    requirements=("gym==0.26.2", "numpy==1.26.4", "opencv-python-headless==4.11.0.86", "matplotlib==3.10.0"),
)
PEERS = (SOCIALJAX, SSD)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheels:
    """Peers that the package index has whole.

    Attributes:
        key: of their environment.
        title: in messages.
        requirements: what is installed there.
    """

    key: str
    title: str
    requirements: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkout:
    """A peer that is here.

    Attributes:
        peer: which.
        path: of the checkout.
        commit: of the checkout, with `+changes` if tracked files differ from it.
    """

    peer: Peer
    path: Path
    commit: str

    def contender(self, *arguments: str) -> Contender:
        """The peer as a contender; its environment is made when first asked for."""
        return Contender(
            name=self.peer.title,
            module=self.peer.module,
            arguments=(str(self.path), *arguments),
            python=str(interpreter(self.peer)),
            settings={
                # Compilation is not measured; keeping it saves minutes. Ours keeps its own.
                "JAX_COMPILATION_CACHE_DIR": str(_ENVIRONMENTS / "cache" / self.peer.key),
                # A checkout is read, not written to.
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )


def find(peer: Peer, given: Path | None) -> Checkout | None:
    """The peer's checkout: as given, or else as its environment variable names it; None (and a line) without one.

    Raises:
        BenchmarkError: the path holds something else.
    """
    named = os.environ.get(peer.variable)
    if given is None and not named:
        say(f"{peer.title} skipped: no checkout (--{peer.key} or {peer.variable}; {peer.url})")
        return None
    path = Path(given or named or "").expanduser().resolve()
    if not (path / peer.holds).is_file():
        raise BenchmarkError(f"{path} is no checkout of {peer.title}: it has no {peer.holds}")
    return Checkout(peer=peer, path=path, commit=commit(path))


def commit(path: Path) -> str:
    """The commit of a checkout; `unknown` without git."""
    head = _git(path, "rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("+changes" if _git(path, "status", "--porcelain", "--untracked-files=no") else "")


def interpreter(peer: Peer | Wheels) -> Path:
    """The interpreter of the peer's environment, made or made anew where its requirements have changed."""
    folder = _ENVIRONMENTS / peer.key
    python, stamp = folder / "bin" / "python", folder / ".ready"
    wanted = "\n".join((f"python{sys.version_info.major}.{sys.version_info.minor}", *peer.requirements))
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    say(f"{peer.title}: installing {', '.join(peer.requirements)} into {folder.relative_to(ROOT)}")
    _call(peer, sys.executable, "-m", "venv", "--clear", str(folder))
    _call(peer, str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements)
    stamp.write_text(wanted)
    return python


def _call(peer: Peer | Wheels, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{peer.title}: {' '.join(command[1:4])} failed:\n{tail(done.stdout + done.stderr)}")


def _git(path: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(path), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
