"""The rules of Box Trapped, one test each, on its own map. Agent 0 is the free one, agent 1 the trapped one."""

import numpy as np
import pytest

from suasion.games import BOX_TRAPPED_MAP, BoxTrapped

OUTSIDE, WALL, EMPTY, APPLE, BOX, FREE, TRAPPED = range(7)
LEFT, RIGHT, UP, DOWN, STAY, OPEN = range(6)

TRAP = (4, 4)
# The cell from which each side piece is opened from outside, and the piece.
SIDES = {(2, 4): (3, 4), (6, 4): (5, 4), (4, 2): (4, 3), (4, 6): (4, 5)}
PIECES = {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)} - {TRAP}
APPLES = {(row, column) for row in (1, 2, 6, 7) for column in (1, 2, 6, 7)}


@pytest.fixture
def box(twin):
    return twin(BoxTrapped())


def cells(array, code):
    return {(int(row), int(column)) for row, column in np.argwhere(array == code)}


def places(result):
    return [tuple(cell) for cell in result.position.tolist()]


class TestShape:
    def test_map(self, box):
        assert BOX_TRAPPED_MAP.split("\n") == [
            "@@@@@@@@@",
            "@AA   AA@",
            "@AA   AA@",
            "@  DDD  @",
            "@  DTD  @",
            "@  DDD  @",
            "@AA   AA@",
            "@AA   AA@",
            "@@@@@@@@@",
        ]
        assert cells(box.state.cells, BOX) == PIECES
        assert cells(box.state.cells, APPLE) == APPLES
        assert len(cells(box.state.cells, WALL)) == 32

    def test_two_agents_six_actions_fifty_steps_seven_by_seven(self, box):
        spec = box.game.spec
        assert (spec.agents, len(spec.actions), spec.horizon, spec.view) == (2, 6, 50, (7, 7))
        assert np.asarray(box.game.available_actions(box.state)).shape == (2, 6)
        assert np.asarray(box.game.available_actions(box.state)).all()
        assert len(spec.classes) == len(spec.palette) == 7

    def test_the_trapped_one_starts_at_its_place(self, box):
        assert tuple(box.state.position[1]) == TRAP

    def test_the_time_limit_truncates_and_never_terminates(self, box):
        before = box.play(box.at((1, 4), TRAP, time=48))
        assert not before.step.truncated
        last = box.play(before.state)
        assert last.step.truncated
        assert not last.step.terminated


class TestMoves:
    @pytest.mark.parametrize(("action", "to"), [(LEFT, (1, 3)), (RIGHT, (1, 5)), (DOWN, (2, 4)), (STAY, (1, 4))])
    def test_directions_are_absolute(self, box, action, to):
        assert places(box.play(box.at((1, 4), TRAP), action))[0] == to

    def test_up(self, box):
        assert places(box.play(box.at((2, 4), TRAP), UP))[0] == (1, 4)

    @pytest.mark.parametrize(("start", "action"), [((1, 4), UP), ((4, 1), LEFT), ((2, 4), DOWN), ((3, 2), RIGHT)])
    def test_walls_and_box_are_stays(self, box, start, action):
        assert places(box.play(box.at(start, TRAP), action))[0] == start

    @pytest.mark.parametrize("action", range(6))
    def test_the_trapped_one_cannot_leave(self, box, action):
        result = box.play(box.at((1, 4), TRAP), STAY, action)
        assert places(result)[1] == TRAP
        assert cells(result.cells, BOX) == PIECES

    @pytest.mark.parametrize(("priority", "places_"), [([0.9, 0.1], [(1, 4), (1, 5)]), ([0.1, 0.9], [(1, 3), (1, 4)])])
    def test_one_candidate_for_a_cell(self, box, priority, places_):
        assert places(box.play(box.at((1, 3), (1, 5)), RIGHT, LEFT, priority=priority)) == places_

    def test_no_swaps(self, box):
        assert places(box.play(box.at((1, 3), (1, 4)), RIGHT, LEFT)) == [(1, 3), (1, 4)]

    def test_one_may_follow_the_other(self, box):
        assert places(box.play(box.at((1, 3), (1, 4)), RIGHT, RIGHT)) == [(1, 4), (1, 5)]


class TestOpen:
    @pytest.mark.parametrize("stand", SIDES)
    def test_beside_a_side_piece_it_removes_that_piece_alone(self, box, stand):
        result = box.play(box.at(stand, TRAP), OPEN)
        assert cells(result.cells, BOX) == PIECES - {SIDES[stand]}
        assert result.cells[SIDES[stand]] == EMPTY
        assert result.events["opened"] == 1
        assert places(result) == [stand, TRAP]
        assert not result.reward.any()

    def test_everywhere_else_outside_it_is_a_stay(self, box):
        elsewhere = {(row, column) for row in range(1, 8) for column in range(1, 8)} - {TRAP} - PIECES - set(SIDES)
        for stand in elsewhere:
            result = box.play(box.at(stand, TRAP), OPEN)
            assert cells(result.cells, BOX) == PIECES  # beside a corner too
            assert result.events["opened"] == 0
            assert places(result) == [stand, TRAP]

    def test_in_the_hole_of_a_piece_it_is_a_stay(self, box):
        # Beside it are two corners and the trapped one's place.
        result = box.play(box.at((3, 4), TRAP, cells={(3, 4): EMPTY}), OPEN)
        assert cells(result.cells, BOX) == PIECES - {(3, 4)}

    def test_the_trapped_ones_open_is_a_stay(self, box):
        assert cells(box.play(box.at((1, 4), TRAP), STAY, OPEN).cells, BOX) == PIECES
        # Outside, it still opens nothing: only the free one does.
        out = box.at((1, 1), (2, 4))
        assert cells(box.play(out, STAY, OPEN).cells, BOX) == PIECES

    def test_it_stays_open(self, box):
        result = box.play(box.at((2, 4), TRAP), OPEN)
        for _ in range(3):
            result = box.play(result.state)
            assert cells(result.cells, BOX) == PIECES - {(3, 4)}
            assert result.events["opened"] == 0

    def test_later_pieces_fall_too_but_are_not_counted_again(self, box):
        first = box.play(box.at((2, 4), TRAP), OPEN)
        second = box.play(first.state._replace(position=np.array([(4, 2), TRAP], np.int32)), OPEN)
        assert cells(second.cells, BOX) == PIECES - {(3, 4), (4, 3)}
        assert second.events["opened"] == 0
        again = box.play(first.state, OPEN)
        assert cells(again.cells, BOX) == PIECES - {(3, 4)}
        assert again.events["opened"] == 0

    def test_inside_it_removes_one_piece(self, box):
        # The rule book leaves open which one; the games take the first in reading order.
        state = box.at(TRAP, (1, 4), cells={(4, 3): EMPTY})
        for gone in ((3, 4), (4, 5), (5, 4)):
            result = box.play(state, OPEN)
            assert cells(state.cells, BOX) - cells(result.cells, BOX) == {gone}
            state = result.state
        assert cells(box.play(state, OPEN).cells, BOX) == cells(state.cells, BOX)

    def test_open_comes_before_the_moves(self, box):
        result = box.play(box.at((2, 4), TRAP), OPEN, UP)
        assert places(result) == [(2, 4), (3, 4)]

    def test_the_trapped_one_leaves_by_the_hole(self, box):
        state = box.at((1, 1), TRAP, cells={(3, 4): EMPTY})
        for cell in ((3, 4), (2, 4), (1, 4)):
            result = box.play(state, STAY, UP)
            assert places(result)[1] == cell
            state = result.state


class TestApples:
    def test_each_step_onto_an_apple_cell_pays_one_and_leaves_the_apple(self, box):
        result = box.play(box.at((1, 3), TRAP), LEFT)
        for action in (LEFT, RIGHT, LEFT, DOWN):
            assert result.reward.tolist() == [1, 0]
            assert result.events["apples"].tolist() == [1, 0]
            assert cells(result.cells, APPLE) == APPLES
            result = box.play(result.state, action)

    @pytest.mark.parametrize("action", [STAY, OPEN, LEFT, UP])
    def test_standing_on_it_pays_nothing(self, box, action):
        assert not box.play(box.at((1, 1), TRAP), action).reward.any()  # walls to the left and above

    def test_who_is_blocked_on_an_apple_gets_nothing(self, box):
        assert not box.play(box.at((1, 1), (1, 2)), RIGHT, STAY).reward.any()

    def test_both_eat(self, box):
        assert box.play(box.at((1, 1), (6, 2)), RIGHT, LEFT).reward.tolist() == [1, 1]

    def test_floor_pays_nothing(self, box):
        assert not box.play(box.at((1, 2), TRAP), RIGHT).reward.any()


class TestSight:
    def test_views_are_not_turned(self, box):
        codes = box.play(box.at((2, 4), TRAP), STAY).sight.codes
        assert codes[0].tolist() == [
            [OUTSIDE] * 7,
            [WALL] * 7,
            [APPLE, APPLE, EMPTY, EMPTY, EMPTY, APPLE, APPLE],
            [APPLE, APPLE, EMPTY, FREE, EMPTY, APPLE, APPLE],
            [EMPTY, EMPTY, BOX, BOX, BOX, EMPTY, EMPTY],
            [EMPTY, EMPTY, BOX, TRAPPED, BOX, EMPTY, EMPTY],
            [EMPTY, EMPTY, BOX, BOX, BOX, EMPTY, EMPTY],
        ]
        assert codes[1, 3, 3] == TRAPPED
        assert codes[1, 1, 3] == FREE

    def test_agents_hide_apples(self, box):
        result = box.play(box.at((1, 1), TRAP))
        assert result.board[1, 1] == FREE
        assert result.cells[1, 1] == APPLE

    @pytest.mark.parametrize(("cell", "seen"), [((1, 1), True), ((7, 7), True), ((1, 4), True), ((4, 1), True)])
    def test_visible_from_the_trap(self, box, cell, seen):
        assert box.play(box.at(cell, TRAP)).sight.visible.all() == seen

    def test_four_cells_away_is_not_visible(self, box):
        assert box.play(box.at((1, 1), (2, 5))).sight.visible.tolist() == [[True, False], [False, True]]
