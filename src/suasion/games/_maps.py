"""Map texts of the rule book, and the reading of any map text.

A map is plain text, one line a row. `@` wall, space floor, `P` spawn cell, `A` apple site with an apple at the
start, `B` apple site without; Cleanup: `R` clean river, `H` waste on the river, `S` stream; Box Trapped: `D` box
wall, `T` start of the trapped agent. Cells are named (row, column), counted from 0 at the top left.
"""

from __future__ import annotations

import numpy as np

from suasion.games._game import GameError

MEANING = {
    "@": "wall",
    " ": "floor",
    "P": "spawn cell",
    "A": "apple site with an apple",
    "B": "apple site without an apple",
    "R": "clean river",
    "H": "waste",
    "S": "stream",
    "D": "box wall",
    "T": "start of the trapped agent",
}

HARVEST_MAP = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@ P   P      A    P AAAAA    P  A P  @
@  P     A P AA    P    AAA    A  A  @
@     A AAA  AAA    A    A AA AAAA   @
@ A  AAA A    A  A AAA  A  A   A A   @
@AAA  A A    A  AAA A  AAA        A P@
@ A A  AAA  AAA  A A    A AA   AA AA @
@  A A  AAA    A A  AAA    AAA  A    @
@   AAA  A      AAA  A    AAAA       @
@ P  A       A  A AAA    A  A      P @
@A  AAA  A  A  AAA A    AAAA     P   @
@    A A   AAA  A A      A AA   A  P @
@     AAA   A A  AAA      AA   AAA P @
@ A    A     AAA  A  P          A    @
@       P     A         P  P P     P @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@"""

CLEANUP_MAP = """\
@@@@@@@@@@@@@@@@@@
@RRRRRR     BBBBB@
@HHHHHH      BBBB@
@RRRRRR     BBBBB@
@RRRRR  P    BBBB@
@RRRRR    P BBBBB@
@HHHHH       BBBB@
@RRRRR      BBBBB@
@HHHHHHSSSSSSBBBB@
@HHHHHHSSSSSSBBBB@
@RRRRR   P P BBBB@
@HHHHH   P  BBBBB@
@RRRRRR    P BBBB@
@HHHHHH P   BBBBB@
@RRRRR       BBBB@
@HHHH    P  BBBBB@
@RRRRR       BBBB@
@HHHHH  P P BBBBB@
@RRRRR       BBBB@
@HHHH       BBBBB@
@RRRRR       BBBB@
@HHHHH      BBBBB@
@RRRRR       BBBB@
@HHHH       BBBBB@
@@@@@@@@@@@@@@@@@@"""

SMALL_HARVEST_MAP = """\
@@@@@@@@@@@
@P   A   P@
@   AAA   @
@    A    @
@ A     A @
@AAA P AAA@
@ A     A @
@    A    @
@   AAA   @
@P   A   P@
@@@@@@@@@@@"""

SMALL_CLEANUP_MAP = """\
@@@@@@@@@@@
@HHH   BBB@
@RRR P BBB@
@RRR   BBB@
@HHHSSSBBB@
@RRR P BBB@
@HHH   BBB@
@RRR P BBB@
@HHH   BBB@
@RRR P BBB@
@@@@@@@@@@@"""

BOX_TRAPPED_MAP = """\
@@@@@@@@@
@AA   AA@
@AA   AA@
@  DDD  @
@  DTD  @
@  DDD  @
@AA   AA@
@AA   AA@
@@@@@@@@@"""


def parse(text: str, letters: str, game: str) -> np.ndarray:
    """The letters of a map as an array of single characters, rows by columns.

    Args:
        text: the map.
        letters: those that the game knows.
        game: its name, for messages.

    Raises:
        GameError: rows of unequal length, a letter that no game or not this game knows, a border cell that is
            not a wall, a map without room inside its walls. The message names the cell.
    """
    rows = text.split("\n")
    width = len(rows[0])
    for r, row in enumerate(rows):
        if len(row) != width:
            raise GameError(f"map of {game}: row {r} has {len(row)} cells, row 0 has {width}")
        for c, letter in enumerate(row):
            if letter not in MEANING:
                raise GameError(f"map of {game}: unknown letter {letter!r} at ({r}, {c})")
            if letter not in letters:
                raise GameError(f"map of {game}: {letter!r} ({MEANING[letter]}) at ({r}, {c}) has no place in {game}")
    if len(rows) < 3 or width < 3:
        raise GameError(f"map of {game}: {len(rows)} x {width} cells leave no room inside the walls")
    grid = np.array([list(row) for row in rows])
    border = np.ones(grid.shape, bool)
    border[1:-1, 1:-1] = False
    for r, c in np.argwhere(border & (grid != "@")):
        raise GameError(f"map of {game}: border cell ({r}, {c}) is {grid[r, c].item()!r}, not a wall '@'")
    return grid
