"""Live progress in the terminal: one line a run that changes in place, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from suasion.runs._train import Status

_PLAIN_SECONDS = 10.0  # between lines where nothing can change in place
_BAR = 20  # characters


class Progress:
    """Shows where runs stand; hand it to `train` as `watch`, inside a `with`.

    Attributes:
        console: that it writes to.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live: Live | None = None
        self._status: Status | None = None
        self._at = 0.0  # when the status came
        self._told = -_PLAIN_SECONDS

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, status: Status) -> None:
        """Take notice of a status."""
        before, self._status, self._at = self._status, status, time.monotonic()
        last = status.phase in ("done", "stopped")
        if self._live is not None:
            if last:
                self.console.print(self._line(status, status.seconds), highlight=False)
                self._status = None
            return
        changed = before is None or before.phase != status.phase
        if changed or last or time.monotonic() - self._told >= _PLAIN_SECONDS:
            self._told = time.monotonic()
            self.console.print(self._line(status, status.seconds), highlight=False, soft_wrap=True)

    def __rich__(self) -> Text:
        """The line as it is now."""
        if self._status is None:
            return Text("")
        return self._line(self._status, self._status.seconds + time.monotonic() - self._at)

    def _line(self, status: Status, seconds: float) -> Text:
        line = Text(f"{status.label}  ", no_wrap=True, overflow="ellipsis")
        if status.phase == "compiling":
            where = f", to go on at step {status.step:,}" if status.step else ""
            line.append(f"compiling ... {seconds:.0f} s{where}")
            return line
        share = status.step / status.steps
        if self._live is not None and status.phase == "training":
            done = round(share * _BAR)
            line.append("━" * done, "green")
            line.append("━" * (_BAR - done), "dim")
            line.append(" ")
        words = [f"{share:4.0%}"]
        if status.phase != "training":
            words = [f"{status.phase} at step {status.step:,} after {duration(seconds)}"]
        if status.speed is not None:
            words.append(f"{status.speed:,.0f} steps/s")
        if status.phase == "training" and status.left is not None:
            words.append(f"{duration(status.left)} left")
        if status.episode_return is not None:
            each = ", ".join(f"{value:.1f}" for value in status.returns)
            words.append(f"reward an episode {status.episode_return:.1f} (agents {each})")
        line.append("  ".join(words))
        return line


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `5 h 12 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
