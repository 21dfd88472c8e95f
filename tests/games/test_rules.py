"""The rules that Harvest and Cleanup share, one test each, on a hall of hand-made scenes.

Every scene is played by the fast game and by the oracle, which must agree; what the rule book demands of it is then
written out here. Positions are (row, column). The rules of apples, waste and cleaning are in `test_rules_growth.py`,
those of Box Trapped in `test_rules_box.py`.
"""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.games import Cleanup, GameError, Harvest

OUTSIDE, WALL, EMPTY, APPLE, WASTE, RIVER, STREAM, FINE, CLEAN, AGENT = range(10)
LEFT, RIGHT, FORWARD, BACK, STAY, CLOCKWISE, COUNTER, FIRE, SCRUB = range(9)
UP, EAST, DOWN, WEST = range(4)


def cells(array, code):
    """Where an array of the map holds a code."""
    return {(int(row), int(column)) for row, column in np.argwhere(array == code)}


def places(result, count):
    return [tuple(cell) for cell in result.position[:count].tolist()]


# What a step looks like, by heading: actions 0 left, 1 right, 2 forward, 3 back.
STEPS = {
    UP: {LEFT: (0, -1), RIGHT: (0, 1), FORWARD: (-1, 0), BACK: (1, 0)},
    EAST: {LEFT: (-1, 0), RIGHT: (1, 0), FORWARD: (0, 1), BACK: (0, -1)},
    DOWN: {LEFT: (0, 1), RIGHT: (0, -1), FORWARD: (1, 0), BACK: (-1, 0)},
    WEST: {LEFT: (1, 0), RIGHT: (-1, 0), FORWARD: (0, -1), BACK: (0, 1)},
}


class TestShape:
    def test_actions(self, hall, harbour):
        assert len(hall.game.spec.actions) == 8
        assert len(harbour.game.spec.actions) == 9

    def test_all_actions_are_available(self, harbour):
        assert np.asarray(harbour.game.available_actions(harbour.state)).all()

    def test_defaults(self):
        for game in (Harvest(), Cleanup()):
            assert (game.spec.agents, game.spec.horizon, game.spec.view) == (5, 1000, (15, 15))
            assert (game.variant, game.fire_cost, game.hit_cost) == ("paper", 1.0, 50.0)

    def test_one_agent_to_as_many_as_spawn_cells(self, hall, harbour):
        for game in (hall.game, harbour.game):
            assert dataclasses.replace(game, agents=1).spec.agents == 1
            assert dataclasses.replace(game, agents=7).spec.agents == 7
            for agents in (0, 8):
                with pytest.raises(GameError):
                    dataclasses.replace(game, agents=agents)

    def test_even_views_are_refused(self):
        with pytest.raises(GameError):
            Harvest(view=14)

    @pytest.mark.parametrize("name", ["hall", "harbour"])
    def test_the_time_limit_truncates_and_never_terminates(self, name, request):
        stage = request.getfixturevalue(name)
        before = stage.play(stage.at(time=998))
        assert not before.step.truncated
        last = stage.play(before.state)
        assert last.time == 1000
        assert last.step.truncated
        assert not last.step.terminated

    def test_map_text(self, twin):
        text = "@@@@@@@@\n@PABRHS@\n@@@@@@@@"
        stage = twin(Cleanup(map=text, agents=1, view=3))
        assert stage.state.cells[1].tolist() == [WALL, EMPTY, APPLE, EMPTY, RIVER, WASTE, STREAM, WALL]
        assert stage.state.beams.sum() == 0
        assert stage.state.time == 0

    def test_colours(self, hall, harbour):
        agents = [(0, 0, 255), (2, 81, 154), (204, 0, 204), (216, 30, 54), (254, 151, 0), (100, 255, 255)]
        agents += [(99, 99, 255), (250, 204, 255), (238, 223, 16)]
        ground = [
            (0, 0, 0),
            (180, 180, 180),
            (0, 0, 0),
            (0, 255, 0),
            (99, 156, 194),
            (113, 75, 24),
            (113, 75, 24),
        ]
        beams = [(255, 255, 0), (100, 255, 255)]
        for game in (hall.game, harbour.game):
            assert game.spec.palette == (*ground, *beams, *agents[:6])
        wide = hall.game.map.replace("@              @", "@PPPP          @")
        many = Harvest(map=wide, agents=12).spec
        assert many.palette[:18] == (*ground, *beams, *agents)
        assert len(set(many.palette[9:])) == 12
        assert len(many.classes) == len(set(many.classes)) == len(many.palette) == 21


class TestMoves:
    @pytest.mark.parametrize("heading", STEPS)
    @pytest.mark.parametrize("action", [LEFT, RIGHT, FORWARD, BACK])
    def test_steps_are_relative_to_the_heading(self, hall, heading, action):
        result = hall.play(hall.at((5, 5), heading=[heading]), action)
        down, right = STEPS[heading][action]
        assert places(result, 1) == [(5 + down, 5 + right)]
        assert result.heading[0] == heading

    def test_stay(self, hall):
        result = hall.play(hall.at((5, 5), heading=[EAST]), STAY)
        assert places(result, 1) == [(5, 5)]
        assert result.heading[0] == EAST

    @pytest.mark.parametrize("heading", STEPS)
    def test_turns_change_the_heading_alone(self, hall, heading):
        clockwise = {UP: EAST, EAST: DOWN, DOWN: WEST, WEST: UP}
        right = hall.play(hall.at((5, 5), heading=[heading]), CLOCKWISE)
        assert right.heading[0] == clockwise[heading]
        left = hall.play(hall.at((5, 5), heading=[clockwise[heading]]), COUNTER)
        assert left.heading[0] == heading
        assert places(left, 1) == places(right, 1) == [(5, 5)]

    @pytest.mark.parametrize(
        ("cell", "heading", "action"),
        [
            ((1, 5), UP, FORWARD),
            ((5, 1), UP, LEFT),
            ((5, 14), UP, RIGHT),
            ((14, 8), UP, BACK),
            ((4, 8), EAST, FORWARD),
        ],
    )
    def test_a_step_into_a_wall_is_a_stay(self, hall, cell, heading, action):
        assert places(hall.play(hall.at(cell, heading=[heading]), action), 1) == [cell]

    def test_a_step_onto_an_agent_that_stays_is_a_stay(self, hall):
        assert places(hall.play(hall.at((5, 5), (4, 5)), FORWARD, STAY), 2) == [(5, 5), (4, 5)]
        assert places(hall.play(hall.at((5, 5), (4, 5)), FORWARD, CLOCKWISE), 2) == [(5, 5), (4, 5)]
        assert places(hall.play(hall.at((2, 5), (1, 5)), FORWARD, FORWARD), 2) == [(2, 5), (1, 5)]

    @pytest.mark.parametrize("winner", [0, 1, 2])
    def test_one_candidate_for_each_cell(self, hall, winner):
        state = hall.at((5, 4), (5, 6), (6, 5))
        priority = [0.3, 0.3, 0.3]
        priority[winner] = 0.4
        expected = [(5, 4), (5, 6), (6, 5)]
        expected[winner] = (5, 5)
        assert places(hall.play(state, RIGHT, LEFT, FORWARD, priority=priority), 3) == expected

    def test_ties_of_priority_go_to_the_lowest_index(self, hall):
        result = hall.play(hall.at((5, 4), (5, 6)), RIGHT, LEFT, priority=[0.3, 0.3])
        assert places(result, 2) == [(5, 5), (5, 6)]

    def test_who_loses_the_draw_stays_though_the_candidate_is_blocked(self, hall):
        # 0 wins (5, 5) but 2 stays there; 1 lost the draw.
        state = hall.at((5, 4), (5, 6), (5, 5))
        result = hall.play(state, RIGHT, LEFT, STAY, priority=[0.9, 0.1])
        assert places(result, 3) == [(5, 4), (5, 6), (5, 5)]
        # 0 wins (5, 5) but would swap with 2; 1, who lost, does not get the cell.
        result = hall.play(state, RIGHT, LEFT, LEFT, priority=[0.9, 0.1, 0.5])
        assert places(result, 3) == [(5, 4), (5, 6), (5, 5)]

    def test_who_wins_a_cell_that_is_left_moves_in(self, hall):
        result = hall.play(hall.at((5, 4), (5, 6), (5, 5)), RIGHT, LEFT, FORWARD, priority=[0.1, 0.9])
        assert places(result, 3) == [(5, 4), (5, 5), (4, 5)]

    def test_trains_move(self, hall):
        train = [(5, 2), (5, 3), (5, 4), (5, 5), (5, 6), (5, 7)]
        result = hall.play(hall.at(*train), *[RIGHT] * 6)
        assert places(result, 6) == [*train[1:], (5, 8)]

    @pytest.mark.parametrize("turned", [False, True])
    def test_a_train_stands_when_its_head_does(self, hall, turned):
        train = [(4, 3), (4, 4), (4, 5), (4, 6), (4, 7), (4, 8)]  # a wall at (4, 9)
        train = train[::-1] if turned else train
        assert places(hall.play(hall.at(*train), *[RIGHT] * 6), 6) == train

    def test_a_train_stands_when_its_head_loses_the_draw(self, hall):
        cells_ = [(5, 2), (5, 3), (5, 4), (4, 5)]
        result = hall.play(hall.at(*cells_), RIGHT, RIGHT, RIGHT, BACK, priority=[0.9, 0.9, 0.1, 0.5])
        assert places(result, 4) == [(5, 2), (5, 3), (5, 4), (5, 5)]

    def test_no_swaps(self, hall):
        assert places(hall.play(hall.at((5, 5), (5, 6)), RIGHT, LEFT), 2) == [(5, 5), (5, 6)]

    def test_who_follows_a_refused_swap_stays(self, hall):
        row = [(5, 4), (5, 5), (5, 6), (5, 7)]
        assert places(hall.play(hall.at(*row), RIGHT, RIGHT, LEFT, LEFT, priority=[0.1, 0.9, 0.9, 0.1]), 4) == row
        # The one behind wins the draw for the swapper's cell: it still stays, for the swapper's target stays.
        assert places(hall.play(hall.at(*row), RIGHT, RIGHT, LEFT, LEFT, priority=[0.9, 0.1, 0.1, 0.9]), 4) == row

    def test_a_cycle_of_four_moves(self, hall):
        # On a grid every closed cycle has even length: there are none of three.
        ring = [(5, 5), (5, 6), (6, 6), (6, 5)]
        result = hall.play(hall.at(*ring), RIGHT, BACK, LEFT, FORWARD)
        assert places(result, 4) == [*ring[1:], ring[0]]

    def test_a_cycle_of_six_moves(self, hall):
        ring = [(5, 5), (5, 6), (5, 7), (6, 7), (6, 6), (6, 5)]
        result = hall.play(hall.at(*ring), RIGHT, RIGHT, BACK, LEFT, LEFT, FORWARD)
        assert places(result, 6) == [*ring[1:], ring[0]]

    def test_a_cycle_stands_when_one_of_it_loses_the_draw(self, hall):
        state = hall.at((5, 5), (5, 6), (6, 6), (6, 5), (4, 6))
        result = hall.play(state, RIGHT, BACK, LEFT, FORWARD, BACK, priority=[0.1, 0.5, 0.5, 0.5, 0.9])
        assert places(result, 5) == [(5, 5), (5, 6), (6, 6), (6, 5), (4, 6)]

    @given(st.data())
    def test_never_two_agents_in_one_cell(self, hall, data):
        crowd = [(row, column) for row in (4, 5, 6) for column in (8, 10, 11)]
        where = data.draw(st.permutations(crowd))[:6]
        actions = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6))
        heading = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6))
        priority = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=6, max_size=6))
        result = hall.play(hall.at(*where, heading=heading), *actions, priority=priority)
        assert len(set(places(result, 6))) == 6


class TestFiningBeam:
    # On open floor: five cells straight ahead; on the left and on the right five from beside the agent on.
    BEAMS = (
        (
            ((6, 5), UP),
            [(5, 5), (4, 5), (3, 5), (2, 5), (1, 5)],
            [(6, 4), (5, 4), (4, 4), (3, 4), (2, 4)],
            [(6, 6), (5, 6), (4, 6), (3, 6), (2, 6)],
        ),
        (
            ((2, 2), EAST),
            [(2, 3), (2, 4), (2, 5), (2, 6), (2, 7)],
            [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6)],
            [(3, 2), (3, 3), (3, 4), (3, 5), (3, 6)],
        ),
        (
            ((1, 12), DOWN),
            [(2, 12), (3, 12), (4, 12), (5, 12), (6, 12)],
            [(1, 13), (2, 13), (3, 13), (4, 13), (5, 13)],
            [(1, 11), (2, 11), (3, 11), (4, 11), (5, 11)],
        ),
        (
            ((2, 13), WEST),
            [(2, 12), (2, 11), (2, 10), (2, 9), (2, 8)],
            [(3, 13), (3, 12), (3, 11), (3, 10), (3, 9)],
            [(1, 13), (1, 12), (1, 11), (1, 10), (1, 9)],
        ),
    )

    @pytest.mark.parametrize(("origin", "centre", "left", "right"), BEAMS)
    def test_fifteen_cells_on_open_floor(self, hall, origin, centre, left, right):
        cell, heading = origin
        result = hall.play(hall.at(cell, heading=[heading]), FIRE)
        assert cells(result.beams, FINE) == {*centre, *left, *right}
        assert result.reward.tolist() == [-1, 0, 0, 0, 0, 0]
        assert result.events["fires"].tolist() == [1, 0, 0, 0, 0, 0]
        assert places(result, 1) == [cell]

    def test_a_wall_ends_its_ray_alone(self, hall):
        beam = cells(hall.play(hall.at((4, 6), heading=[EAST]), FIRE).beams, FINE)
        assert {cell for cell in beam if cell[0] == 4} == {(4, 7), (4, 8)}  # a wall at (4, 9)
        assert len(beam) == 12
        beam = cells(hall.play(hall.at((5, 6), heading=[EAST]), FIRE).beams, FINE)
        assert {cell for cell in beam if cell[0] == 4} == {(4, 6), (4, 7), (4, 8)}
        assert len(beam) == 13

    def test_a_ray_whose_first_cell_is_a_wall_is_empty(self, hall):
        assert len(cells(hall.play(hall.at((4, 8), heading=[EAST]), FIRE).beams, FINE)) == 10
        beam = cells(hall.play(hall.at((6, 1), heading=[UP]), FIRE).beams, FINE)  # a wall beside it
        assert {column for _, column in beam} == {1, 2}
        assert len(beam) == 10
        corner = cells(hall.play(hall.at((1, 1), heading=[UP]), FIRE).beams, FINE)
        assert corner == {(1, 2)}  # the side ray starts beside the agent

    def test_an_agent_ends_the_ray_and_is_hit_and_shields_those_behind(self, hall):
        result = hall.play(hall.at((6, 5), (3, 5), (2, 5)), FIRE)
        assert result.reward.tolist() == [-1, -50, 0, 0, 0, 0]
        assert result.events["hits"].tolist() == [0, 1, 0, 0, 0, 0]
        assert {cell for cell in cells(result.beams, FINE) if cell[1] == 5} == {(5, 5), (4, 5), (3, 5)}
        assert len(cells(result.beams, FINE)) == 13

    @pytest.mark.parametrize("target", [(6, 4), (2, 4), (6, 6), (2, 6), (5, 5), (1, 5)])
    def test_rays_hit_from_their_first_to_their_last_cell(self, hall, target):
        assert hall.play(hall.at((6, 5), target), FIRE).reward[1] == -50

    @pytest.mark.parametrize("target", [(1, 4), (7, 4), (1, 6), (7, 5), (7, 6), (6, 3), (6, 7), (3, 7)])
    def test_beside_the_rays_nobody_is_hit(self, hall, target):
        assert hall.play(hall.at((6, 5), target), FIRE).reward[1] == 0

    def test_a_beam_costs_one_shot_however_many_it_hits(self, hall):
        result = hall.play(hall.at((6, 5), (3, 5), (6, 4), (4, 6)), FIRE)
        assert result.reward.tolist() == [-1, -50, -50, -50, 0, 0]

    def test_two_beams_hit_twice(self, hall):
        # One beam reaches a cell by one of its rays only, so it never hits an agent twice.
        result = hall.play(hall.at((6, 5), (3, 5), (4, 2), heading=[UP, UP, EAST]), FIRE, STAY, FIRE)
        assert result.reward.tolist() == [-1, -100, -1, 0, 0, 0]
        assert result.events["hits"].tolist() == [0, 2, 0, 0, 0, 0]

    def test_two_may_hit_each_other(self, hall):
        result = hall.play(hall.at((6, 5), (3, 5), heading=[UP, DOWN]), FIRE, FIRE)
        assert result.reward.tolist() == [-51, -51, 0, 0, 0, 0]

    def test_beams_come_after_moves(self, hall):
        into = hall.play(hall.at((6, 5), (3, 7)), FIRE, LEFT)
        assert into.reward[1] == -50
        out = hall.play(hall.at((6, 5), (3, 6)), FIRE, RIGHT)
        assert out.reward[1] == 0

    def test_who_is_hit_is_neither_removed_nor_frozen(self, hall):
        hit = hall.play(hall.at((6, 5), (3, 5)), FIRE)
        assert places(hit, 2) == [(6, 5), (3, 5)]
        assert places(hall.play(hit.state, FIRE, RIGHT), 2) == [(6, 5), (3, 6)]

    def test_no_cooldown(self, hall):
        state = hall.at((6, 5), (3, 5))
        for _ in range(3):
            result = hall.play(state, FIRE)
            assert result.reward.tolist() == [-1, -50, 0, 0, 0, 0]
            state = result.state

    def test_costs_are_parameters(self, hall):
        stage = hall.other(fire_cost=0.5, hit_cost=5.0)
        assert stage.play(stage.at((6, 5), (3, 5)), FIRE).reward.tolist() == [-0.5, -5, 0, 0, 0, 0]

    def test_it_passes_waste_and_cleans_none(self, harbour):
        state = harbour.at((6, 12), (2, 12), cells={(4, 12): WASTE, (5, 11): WASTE})
        result = harbour.play(state, FIRE)
        assert len(cells(result.beams, FINE)) == 14
        assert result.reward.tolist() == [-1, -50, 0, 0, 0, 0]
        assert cells(result.cells, WASTE) == {(4, 12), (5, 11)}


class TestSight:
    # An agent at (5, 5); what lies two cells ahead of it, and one to its right.
    AHEAD = ((UP, (3, 5), (5, 6)), (EAST, (5, 7), (6, 5)), (DOWN, (7, 5), (5, 4)), (WEST, (5, 3), (4, 5)))

    @pytest.mark.parametrize(("heading", "ahead", "right"), AHEAD)
    def test_what_is_ahead_is_above_the_centre(self, hall, heading, ahead, right):
        view = hall.play(hall.at((5, 5), ahead, right, heading=[heading])).sight.codes[0]
        assert view.shape == (7, 7)
        assert (view[3, 3], view[1, 3], view[3, 4]) == (AGENT, AGENT + 1, AGENT + 2)
        assert (view > AGENT).sum() == 2

    @pytest.mark.parametrize(("heading", "ahead", "right"), AHEAD)
    def test_ssd_turns_the_views_of_left_and_right_by_180_degrees(self, hall, heading, ahead, right):
        stage = hall.other(variant="ssd")
        view = stage.play(stage.at((5, 5), ahead, right, heading=[heading])).sight.codes[0]
        if heading in (UP, DOWN):
            assert (view[3, 3], view[1, 3], view[3, 4]) == (AGENT, AGENT + 1, AGENT + 2)
        else:
            assert (view[3, 3], view[5, 3], view[3, 2]) == (AGENT, AGENT + 1, AGENT + 2)

    def test_outside_the_map_is_black(self, hall):
        view = hall.play(hall.at((1, 1), heading=[UP])).sight.codes[0]
        assert view.tolist() == [
            [OUTSIDE] * 7,
            [OUTSIDE] * 7,
            [OUTSIDE, OUTSIDE, WALL, WALL, WALL, WALL, WALL],
            [OUTSIDE, OUTSIDE, WALL, AGENT, EMPTY, EMPTY, EMPTY],
            *[[OUTSIDE, OUTSIDE, WALL, EMPTY, EMPTY, EMPTY, EMPTY]] * 3,
        ]

    def test_precedence(self, harbour):
        # A fining beam upwards from (6, 12), a cleaning beam to the right from (5, 9); they cross.
        waste, apple = (5, 13), (9, 10)
        state = harbour.at((6, 12), (5, 9), (2, 12), (9, 9), heading=[UP, EAST], cells={waste: WASTE, apple: APPLE})
        board = harbour.play(state, FIRE, SCRUB).board
        assert board[2, 12] == AGENT + 2  # agent over beam
        assert board[5, 12] == FINE  # fining beam over cleaning beam
        assert board[5, 11] == FINE
        assert board[5, 10] == CLEAN  # cleaning beam over ground
        assert board[waste] == FINE
        assert board[apple] == APPLE
        assert board[9, 9] == AGENT + 3  # agent over ground
        assert board[7, 11] == STREAM

    def test_a_beam_hides_apple_and_waste(self, harbour):
        state = harbour.at((9, 7), (6, 12), heading=[EAST, UP], cells={(9, 10): APPLE, (4, 12): WASTE})
        result = harbour.play(state, FIRE, FIRE)
        assert (result.board[9, 10], result.board[4, 12]) == (FINE, FINE)
        assert (result.cells[9, 10], result.cells[4, 12]) == (APPLE, WASTE)

    def test_beams_are_seen_also_on_cells_just_cleaned(self, harbour):
        result = harbour.play(harbour.at((6, 12), cells={(4, 12): WASTE}), SCRUB)
        assert result.cells[4, 12] == RIVER
        assert result.board[4, 12] == CLEAN
        assert result.sight.codes[0, 1, 3] == CLEAN

    def test_ssd_never_shows_beams_in_views(self, harbour):
        stage = harbour.other(variant="ssd")
        result = stage.play(stage.at((6, 12), (6, 2), cells={(4, 12): WASTE}), SCRUB, FIRE)
        assert not np.isin(result.sight.codes, (FINE, CLEAN)).any()
        assert result.sight.codes[0, 1, 3] == RIVER
        assert result.board[4, 12] == CLEAN  # in pictures it does

    def test_beams_last_one_step(self, hall):
        fired = hall.play(hall.at((6, 5)), FIRE)
        assert fired.beams.any()
        after = hall.play(fired.state)
        assert not after.beams.any()
        assert not np.isin(after.sight.codes, (FINE, CLEAN)).any()

    @pytest.mark.parametrize(
        ("other", "seen"),
        [((8, 5), True), ((9, 5), False), ((5, 8), True), ((5, 9), False), ((2, 2), True), ((2, 1), False)],
    )
    def test_who_is_visible(self, hall, other, seen):
        visible = hall.play(hall.at((5, 5), other)).sight.visible
        assert visible[0, 1] == visible[1, 0] == seen
        assert visible.diagonal().all()

    def test_walls_do_not_block_sight(self, hall):
        assert hall.play(hall.at((4, 8), (4, 10))).sight.visible[0, 1]


@pytest.mark.parametrize("name", ["hall", "harbour"])
def test_ssd_differs_in_nothing_else(name, request):
    """Same draws, same play: equal where growth (Harvest) is kept out and waste appears in both."""
    paper = request.getfixturevalue(name)
    ssd, random = paper.other(variant="ssd"), np.random.default_rng(5)
    assert dataclasses.asdict(paper.game.spec) == dataclasses.asdict(ssd.game.spec)
    ground = {(1, column): WASTE for column in range(8, 12)} if name == "harbour" else {}
    state = paper.at((6, 12), (5, 12), (5, 9), (9, 9), cells=ground)
    for _ in range(40):
        actions = random.integers(0, len(paper.game.spec.actions), 6)
        luck = {"priority": random.random(6), "order": random.random(6), "waste": random.random(2) * [0.5, 1]}
        luck["growth"] = random.random((16, 16)) if name == "harbour" else np.ones((16, 16))
        luck = {field: luck[field] for field in paper.draws._fields}
        a, b = paper.play(state, *actions, **luck), ssd.play(state, *actions, **luck)
        jax.tree.map(np.testing.assert_array_equal, (a.state, a.step), (b.state, b.step))
        np.testing.assert_array_equal(a.sight.visible, b.sight.visible)
        np.testing.assert_array_equal(a.board, b.board)
        upright = a.state._replace(heading=np.zeros(6, np.int32))
        a, b = paper.play(upright, **luck), ssd.play(upright, **luck)  # all stay: no beams
        np.testing.assert_array_equal(a.sight.codes, b.sight.codes)
        state = a.state
