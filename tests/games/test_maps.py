"""Maps: what the rule book counts, cell by cell, and what a bad map is told."""

import numpy as np
import pytest

from suasion.games import (
    BOX_TRAPPED_MAP,
    CLEANUP_MAP,
    HARVEST_MAP,
    SMALL_CLEANUP_MAP,
    SMALL_HARVEST_MAP,
    BoxTrapped,
    Cleanup,
    GameError,
    Harvest,
)

# Row: columns, copied from the rule book, ranges included.
HARVEST_SPAWNS = {
    1: "2,6,18,29,34",
    2: "3,11,19",
    5: "36",
    9: "2,35",
    10: "33",
    11: "35",
    12: "35",
    13: "21",
    14: "8,24,27,29,35",
}
HARVEST_APPLES = {
    1: "13,20-24,32",
    2: "9,13-14,24-26,31,34",
    3: "6,8-10,13-15,20,25,27-28,30-33",
    4: "2,5-7,9,14,17,19-21,24,27,31,33",
    5: "1-3,6,8,13,16-18,20,23-25,34",
    6: "2,4,7-9,12-14,17,19,24,26-27,31-32,34-35",
    7: "3,5,8-10,15,17,20-22,27-29,32",
    8: "4-6,9,16-18,21,26-29",
    9: "5,13,16,18-20,25,28",
    10: "1,4-6,9,12,15-17,19,24-27",
    11: "5,7,11-13,16,18,25,27-28,32",
    12: "6-8,12,14,17-19,26-27,31-33",
    13: "2,7,13-15,18,32",
    14: "14",
}
WIDTH_OF_RIVER = [6, 6, 6, 5, 5, 5, 5, 6, 6, 5, 5, 6, 6, 5, 4, 5, 5, 5, 4, 5, 5, 5, 4]  # rows 1 to 23
CLEANUP_WASTE_ROWS = {2, 6, 8, 9, 11, 13, 15, 17, 19, 21, 23}
CLEANUP_WIDE_ORCHARD = {1, 3, 5, 7, 11, 13, 15, 17, 19, 21, 23}  # columns 12-16
CLEANUP_NARROW_ORCHARD = {2, 4, 6, 8, 9, 10, 12, 14, 16, 18, 20, 22}  # columns 13-16
CLEANUP_SPAWNS = {(4, 8), (5, 10), (10, 9), (10, 11), (11, 9), (12, 11), (13, 8), (15, 9), (17, 8), (17, 10)}


def cells(rows):
    """The set of (row, column) of a table of ranges."""
    found = set()
    for row, columns in rows.items():
        for part in columns.split(","):
            first, _, last = part.partition("-")
            found |= {(row, column) for column in range(int(first), int(last or first) + 1)}
    return found


def places(text, letters):
    return {(r, c) for r, row in enumerate(text.split("\n")) for c, letter in enumerate(row) if letter in letters}


def border(height, width):
    return {(r, c) for r in range(height) for c in range(width) if r in (0, height - 1) or c in (0, width - 1)}


def test_harvest_is_the_rule_books():
    rows = HARVEST_MAP.split("\n")
    assert (len(rows), {len(row) for row in rows}) == (16, {38})
    assert places(HARVEST_MAP, "@") == border(16, 38)
    assert places(HARVEST_MAP, "P") == cells(HARVEST_SPAWNS)
    assert places(HARVEST_MAP, "A") == cells(HARVEST_APPLES)
    assert [len(places(HARVEST_MAP, letter)) for letter in "@AP"] == [104, 155, 20]
    assert set(HARVEST_MAP) == set("@AP \n")


def test_cleanup_is_the_rule_books():
    rows = CLEANUP_MAP.split("\n")
    assert (len(rows), {len(row) for row in rows}) == (25, {18})
    river = {(r, c) for r, width in enumerate(WIDTH_OF_RIVER, start=1) for c in range(1, width + 1)}
    waste = {(r, c) for r, c in river if r in CLEANUP_WASTE_ROWS}
    orchard = {(r, c) for r in CLEANUP_WIDE_ORCHARD for c in range(12, 17)}
    orchard |= {(r, c) for r in CLEANUP_NARROW_ORCHARD for c in range(13, 17)}
    assert places(CLEANUP_MAP, "@") == border(25, 18)
    assert places(CLEANUP_MAP, "H") == waste
    assert places(CLEANUP_MAP, "R") == river - waste
    assert places(CLEANUP_MAP, "S") == {(r, c) for r in (8, 9) for c in range(7, 13)}
    assert places(CLEANUP_MAP, "B") == orchard
    assert places(CLEANUP_MAP, "P") == CLEANUP_SPAWNS
    counts = [len(places(CLEANUP_MAP, letters)) for letters in ("@", "RH", "H", "S", "AB", "P")]
    assert counts == [82, 119, 56, 12, 103, 10]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (SMALL_HARVEST_MAP, {"@": 40, "A": 20, "P": 5}),
        (SMALL_CLEANUP_MAP, {"@": 40, "H": 12, "R": 15, "S": 3, "B": 27, "P": 4}),
        (BOX_TRAPPED_MAP, {"@": 32, "A": 16, "D": 8, "T": 1}),
    ],
)
def test_counts_of_the_small_maps(text, counts):
    assert {letter: text.count(letter) for letter in counts} == counts
    assert set(text) - set(counts) <= {" ", "\n"}


@pytest.mark.parametrize("text", [SMALL_HARVEST_MAP, SMALL_CLEANUP_MAP, BOX_TRAPPED_MAP])
def test_small_maps_are_square(text):
    rows = text.split("\n")
    assert {len(row) for row in rows} == {len(rows)}


def test_the_start_has_the_codes_of_the_letters():
    codes = {"@": 1, " ": 2, "P": 2, "A": 3, "B": 2, "H": 4, "R": 5, "S": 6}
    text = "@@@@@@\n@PABH@\n@ RSP@\n@@@@@@"
    expected = [[codes[letter] for letter in row] for row in text.split("\n")]
    assert (Cleanup(map=text, agents=1)._ground.start == np.array(expected)).all()


GOOD = "@@@@@\n@PAP@\n@@@@@"
WET = "@@@@@\n@PRB@\n@@@@@"
BOX = "@@@@@@@\n@A    @\n@ DDD @\n@ DTD @\n@ DDD @\n@     @\n@@@@@@@"


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        (Harvest, {"map": ""}, "1 x 0 cells"),
        (Harvest, {"map": "@@@@\n@PA@"}, "2 x 4 cells"),
        (Harvest, {"map": "@@@@@\n@PAP@@\n@@@@@"}, "row 1 has 6 cells, row 0 has 5"),
        (Harvest, {"map": GOOD + "\n"}, "row 3 has 0 cells"),
        (Harvest, {"map": GOOD.replace("AP", "xP")}, r"unknown letter 'x' at \(1, 2\)"),
        (Harvest, {"map": GOOD.replace("AP", "\tP")}, r"unknown letter '\\t' at \(1, 2\)"),
        (Harvest, {"map": GOOD.replace("AP", "HP")}, r"'H' \(waste\) at \(1, 2\) has no place in Harvest"),
        (Harvest, {"map": GOOD.replace("AP", "TP")}, r"'T' \(start of the trapped agent\) at \(1, 2\)"),
        (Harvest, {"map": "@@@@@\n@PAP@\n@@ @@"}, r"border cell \(2, 2\) is ' '"),
        (Harvest, {"map": "@@@@@\nAPAP@\n@@@@@"}, r"border cell \(1, 0\) is 'A'"),
        (Harvest, {"map": GOOD.replace("A", " ")}, "no apple site"),
        (Harvest, {"map": GOOD, "agents": 3}, "3 agents, but the map has 2 spawn cells"),
        (Harvest, {"map": GOOD, "agents": 0}, "0 agents"),
        (Harvest, {"map": GOOD.replace("P", " ")}, "5 agents, but the map has 0 spawn cells"),
        (Cleanup, {"map": WET.replace("R", "S"), "agents": 1}, "no river cell"),
        (Cleanup, {"map": WET.replace("B", " "), "agents": 1}, "no apple site"),
        (Cleanup, {"map": WET.replace("B", "D"), "agents": 1}, r"'D' \(box wall\) at \(1, 3\) has no place"),
        (BoxTrapped, {"map": BOX.replace("A", "P")}, r"'P' \(spawn cell\) at \(1, 1\) has no place"),
        (BoxTrapped, {"map": BOX.replace("T", " ")}, r"0 cells 'T' \[\]"),
        (BoxTrapped, {"map": BOX.replace("A", "T")}, r"2 cells 'T' \[\(1, 1\), \(3, 3\)\]"),
        (BoxTrapped, {"map": BOX.replace("@ DTD", "@  TD")}, r"\(3, 2\) beside 'T' is not box wall"),
        (BoxTrapped, {"map": BOX.replace("A", "D")}, r"'D' at \(1, 1\) is not beside 'T' at \(3, 3\)"),
        (BoxTrapped, {"map": "@@@@@\n@DDD@\n@DTD@\n@DDD@\n@@@@@"}, "no cell outside the box"),
    ],
)
def test_a_bad_map_is_told_where(game, options, message):
    with pytest.raises(GameError, match=message):
        game(**options)
