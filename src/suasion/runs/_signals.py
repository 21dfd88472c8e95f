"""Signals that ask a run to end: a checkpoint first, then the exit code that says why."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}


class Stop:
    """Ctrl-C and SIGTERM become a wish to stop; hand it to `train` as `stop`, inside a `with` in the main thread.

    The second signal ends the program at once.

    Attributes:
        received: the signal that came; None before.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """A signal has come."""
        return self.received is not None

    def __enter__(self) -> Stop:
        for number in EXIT_CODES:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 75 after SIGTERM (try again later, as schedulers read it), 0 without a signal."""
        return 0 if self.received is None else EXIT_CODES[self.received]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        for each in EXIT_CODES:
            signal.signal(each, signal.SIG_DFL)
