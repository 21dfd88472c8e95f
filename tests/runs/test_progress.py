"""What is shown while a run goes on, in a terminal and in a log, and how it is asked to stop."""

import io
import os
import signal
from typing import Any

import pytest
from rich.console import Console

from suasion.runs import Progress, Status, Stop
from suasion.runs._progress import duration

STATUS: dict[str, Any] = {"label": "harvest small shared seed 3", "steps": 1000, "seconds": 5.0}


def shown(terminal: bool) -> tuple[Progress, io.StringIO]:
    text = io.StringIO()
    return Progress(Console(file=text, force_terminal=terminal, width=160, color_system=None)), text


def test_plain_lines_are_few() -> None:
    progress, text = shown(terminal=False)
    with progress:
        progress(Status(**STATUS, phase="compiling", step=0))
        for step in range(100, 1000, 100):
            progress(Status(**STATUS, phase="training", step=step, speed=50.0, left=18.0))
        progress(Status(**STATUS, phase="done", step=1000, speed=50.0, episode_return=3.0, returns=(1.0, 2.0)))
    lines = text.getvalue().splitlines()
    assert len(lines) == 3  # the phases; nothing in between within 10 seconds
    assert "compiling" in lines[0]
    assert "10%" in lines[1]
    assert "18 s left" in lines[1]
    assert "done at step 1,000 after 5 s" in lines[2]
    assert "reward an episode 3.0 (agents 1.0, 2.0)" in lines[2]


def test_a_terminal_keeps_the_last_line_only() -> None:
    progress, text = shown(terminal=True)
    with progress:
        progress(Status(**STATUS, phase="compiling", step=200))
        assert "compiling ... 5 s, to go on at step 200" in str(progress.__rich__())
        progress(Status(**STATUS, phase="training", step=500, speed=50.0, left=10.0))
        assert "━" * 20 + "  50%  50 steps/s  10 s left" in str(progress.__rich__())
        progress(Status(**STATUS, phase="done", step=1000))
        assert str(progress.__rich__()) == ""
    assert "done at step 1,000" in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (200.0, "3 min 20 s"), (18720.0, "5 h 12 min")]
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_is_a_wish_and_the_second_an_order(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with Stop() as stop:
        assert not stop()
        assert stop.exit_code == 0
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.exit_code == code
        assert signal.getsignal(number) == signal.SIG_DFL
    assert signal.getsignal(number) == before
