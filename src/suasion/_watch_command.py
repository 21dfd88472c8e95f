"""`suasion watch`: the report of runs that are being trained, live in a browser."""

from __future__ import annotations

import dataclasses
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from suasion._report_command import measures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watch:
    """Show the report of runs while they are trained: a page for this machine's own browser that follows them.

    Ctrl-C ends it; the runs do not notice.
    """

    run_folder: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of a run, or of runs; need not be there yet."""
    port: Annotated[int, arg(metavar="N")] = 0
    """Of 127.0.0.1; 0 for any that is free."""
    no_browser: bool = False
    """Print the address only."""

    def run(self) -> int:
        """Serve until Ctrl-C."""
        from suasion.viewing import WatchServer

        with WatchServer(self.run_folder, port=self.port, society=measures) as server:
            print(f"{server.url} (Ctrl-C ends it)", flush=True)
            if not self.no_browser and _has_windows():
                webbrowser.open(server.url)
            try:
                server.serve()
            except KeyboardInterrupt:
                print()
        return 0


def _has_windows() -> bool:
    """Whether a browser would open in a window, rather than take over the terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
