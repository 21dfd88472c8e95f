"""The table of faults in docs/reliability.md is what the tests saw: each row is told, and checked, by a test.

With SUASION_OUTCOMES=write in the environment the rows are written instead of compared.
"""

import contextlib
import fcntl
import os
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_TABLE = re.compile(r"(<!-- faults -->\n\| fault \| outcome \|\n\|---\|---\|\n)(.*?)(<!-- end -->)", re.DOTALL)


def rows():
    """Fault and outcome of every row of the page."""
    found = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found, f"{PAGE} has no table of faults"
    return dict(line.strip("| ").split(" | ") for line in found[2].splitlines() if line)


def tell(fault, outcome):
    """A fault was met, and this is what came of it: the page must say the same."""
    assert not {"|", "\n"} & set(fault + outcome)
    if os.environ.get("SUASION_OUTCOMES") == "write":
        _write(fault, outcome)
    assert rows().get(fault) == outcome, f"docs/reliability.md, {fault}: run the tests with SUASION_OUTCOMES=write"


def _write(fault, outcome):
    with _alone():
        table = "".join(f"| {one} | {what} |\n" for one, what in (rows() | {fault: outcome}).items())
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_TABLE.sub(lambda found: found[1] + table + found[3], text), encoding="utf-8")


@contextlib.contextmanager
def _alone():
    """Tests run in several processes."""
    with PAGE.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
