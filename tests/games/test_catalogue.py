import json

import jax
import numpy as np
import pytest

from suasion.games import (
    SMALL_CLEANUP_MAP,
    SMALL_HARVEST_MAP,
    BoxTrapped,
    Cleanup,
    GameError,
    Harvest,
    Recall,
    TMaze,
    catalogue,
    chicken,
    make,
    prisoners_dilemma,
    pure_coordination,
    stag_hunt,
)

SMALL = {"agents": 3, "view": 7, "horizon": 250, "hit_cost": 5.0}


def test_every_name_makes_a_playable_game_of_that_name():
    assert list(catalogue()) == [
        "harvest",
        "cleanup",
        "box-trapped",
        "prisoners-dilemma",
        "stag-hunt",
        "chicken",
        "pure-coordination",
        "matrix",
        "recall",
        "signalling",
        "t-maze",
    ]
    for name, meaning in catalogue().items():
        game = make(name)
        assert meaning
        assert game.spec.name == ("prisoners-dilemma" if name == "matrix" else name)
        assert hash(game) == hash(make(name))
        state = game.reset(jax.random.key(0))
        sight, spec = game.observe(state), game.spec
        assert sight.codes.shape == (spec.agents, *spec.view)
        assert game.board(state).shape == spec.board
        assert game.available_actions(state).shape == (spec.agents, len(spec.actions))


def test_defaults_are_the_rule_book_s():
    assert make("harvest") == Harvest(map=SMALL_HARVEST_MAP, **SMALL)
    assert make("cleanup") == Cleanup(map=SMALL_CLEANUP_MAP, **SMALL)
    assert make("harvest", size="paper") == Harvest()
    assert make("cleanup", size="paper", variant="ssd") == Cleanup(variant="ssd")
    assert make("box-trapped") == BoxTrapped()
    assert make("prisoners-dilemma") == make("matrix") == prisoners_dilemma()
    assert make("stag-hunt", horizon=7) == stag_hunt(7)
    assert make("chicken") == chicken()
    assert make("pure-coordination", actions=3) == pure_coordination(3)
    assert make("recall", symbols=3, delay=1, agents=2, horizon=9) == Recall(symbols=3, delay=1, agents=2, horizon=9)
    assert make("t-maze", length=3, agents=2, horizon=9) == TMaze(length=3, agents=2, horizon=9)


def test_options_reach_the_game():
    game = make("cleanup", agents=2, view=9, horizon=20, hit_cost=7, fire_cost=2.5)
    assert game == Cleanup(map=SMALL_CLEANUP_MAP, agents=2, view=9, horizon=20, hit_cost=7.0, fire_cost=2.5)
    assert make("harvest", agents=None, hit_cost=None) == make("harvest")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("harvst", {}, "unknown game 'harvst': did you mean harvest"),
        ("prisoner-dilemma", {}, "did you mean prisoners-dilemma"),
        ("zzz", {}, "there is no name like it. Games: harvest, cleanup"),
        (
            "harvest",
            {"hit_costs": 5},
            r"harvest does not take 'hit_costs' \(did you mean 'hit_cost'\?\); it takes size",
        ),
        ("recall", {"view": 7}, "recall does not take 'view'; it takes agents, horizon, symbols, delay"),
        ("box-trapped", {"size": "paper"}, "box-trapped does not take 'size'; it takes view, horizon, map"),
        ("chicken", {"map": "@@\n@@"}, "chicken does not take 'map'"),
        ("stag-hunt", {"variant": "ssd"}, "stag-hunt does not take 'variant'"),
        ("harvest", {"size": "big"}, "size is 'big', not 'small' or 'paper'"),
        ("recall", {"delay": 1.5}, "delay is 1.5, not a whole number"),
        ("recall", {"delay": True}, "delay is True, not a whole number"),
        ("harvest", {"agents": 6}, "6 agents, but the map has 5 spawn cells"),
        ("harvest", {"view": 4}, "view 4"),
        ("harvest", {"map": "@@@\n@?@\n@@@"}, r"unknown letter '\?' at \(1, 1\)"),
        ("no/such/file.txt", {}, "cannot read no/such/file.txt: No such file"),
        ("harvst", {"map": "@@@\n@A@\n@@@"}, "unknown game 'harvst'.*map is given as well"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name, options, message):
    with pytest.raises(GameError, match=message):
        make(name, **options)


def test_a_map_file_is_a_game(tmp_path):
    def game(text, **options):
        path = tmp_path / "my map.txt"
        path.write_bytes(text.encode())
        return make(str(path), **options)

    rows = "@@@@@\n@PAP@\n@A P@\n@@@@@"
    expected = Harvest(map=rows, **SMALL)
    assert game(rows + "\n") == expected
    assert game("game: harvest\n" + rows) == expected
    assert game("game: harvest\r\n" + rows.replace("\n", "\r\n") + "\r\n") == expected
    assert make("harvest", map=rows) == expected
    assert make("harvest", map=tmp_path / "my map.txt") == expected
    assert game(rows, size="paper", agents=2) == Harvest(map=rows, agents=2)
    assert game(SMALL_CLEANUP_MAP) == make("cleanup")
    assert game(BoxTrapped().map) == BoxTrapped()
    assert game("game: cleanup\n" + SMALL_CLEANUP_MAP, agents=1).agents == 1
    with pytest.raises(GameError, match="no river cell"):
        game("game: cleanup\n" + rows)
    with pytest.raises(GameError, match="maps are for harvest, cleanup, box-trapped"):
        game("game: chess\n" + rows)
    with pytest.raises(GameError, match="header has 'agents'"):
        game("agents: 3\n" + rows)
    with pytest.raises(GameError, match="the map is for harvest, not for cleanup"):
        make("cleanup", map="game: harvest\n" + rows)


def test_unreadable_files_are_refused(tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"@@@\n@\xff@\n@@@")
    with pytest.raises(GameError, match="not UTF-8 text: byte 5 is 0xff"):
        make("harvest", map=tmp_path / "binary.txt")
    (tmp_path / "huge.txt").write_bytes(b"@" * 1_000_001)
    with pytest.raises(GameError, match="more than 1000000 bytes"):
        make("harvest", map=tmp_path / "huge.txt")
    with pytest.raises(GameError, match="Is a directory"):
        make("harvest", map=tmp_path)


def test_a_payoff_file_is_a_matrix_game(tmp_path):
    table = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table))
    game = make("matrix", map=path, horizon=5)
    np.testing.assert_array_equal(game.payoffs, table)
    assert (game.name, game.horizon, game.actions) == ("matrix", 5, ("action 1", "action 2"))
    assert make(str(path), horizon=5) == game
    path.write_text(json.dumps({"payoffs": table, "actions": ["give", "take"]}))
    assert make("matrix", map=path).actions == ("give", "take")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[[1, 2], [3, NaN]], [[5, 6], [7, 8]]]", r"payoffs\[0\]\[1\]\[1\] is nan"),
        ("[[[1, 2], [3, 1" + "0" * 400 + "]], [[5, 6], [7, 8]]]", r"payoffs\[0\]\[1\]\[1\] is 1000"),
        ("[[[1, 2], [3, 4]], [[5, 6]]]", r"payoffs\[1\] has 1 entries"),
        ("{}", r"not \[\]"),
        ('{"payoffs": [[1], [2]], "price": 3}', r"not \['payoffs', 'price'\]"),
        ('{"payoffs": 3}', "`payoffs` .nested lists."),
        ('{"payoffs": [[1], [2]], "actions": "ab"}', "actions is 'ab', not a list of names"),
        ("[[1], [2]", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[" * 60 + "1" + "]" * 60, "nested 60 deep"),
    ],
)
def test_bad_payoff_files_are_refused_by_place(tmp_path, text, message):
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(GameError, match=message):
        make("matrix", map=tmp_path / "table.json")
