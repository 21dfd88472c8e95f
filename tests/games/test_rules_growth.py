"""The rules of apples, waste and the cleaning beam, one test each, on the scenes of `test_rules.py`."""

import dataclasses

import numpy as np
import pytest

from suasion.games import Cleanup, GameError

APPLE, EMPTY, WASTE, RIVER, CLEAN = 3, 2, 4, 5, 8
RIGHT, FORWARD, STAY, FIRE, SCRUB = 1, 2, 4, 7, 8
UP, EAST, WEST = 0, 1, 3

RIVER_CELLS = [(row, column) for row in range(1, 7) for column in range(7, 15) if (row, column) != (4, 10)]
RIVER_CELLS += [(7, 12), (7, 13), (7, 14)]  # 50, in row-major order
NEVER = np.float32(0.999)


def cells(array, code):
    return {(int(row), int(column)) for row, column in np.argwhere(array == code)}


def dirty(count, *avoid):
    """A ground with `count` wastes, from the end of the river, that spares some cells."""
    free = [cell for cell in reversed(RIVER_CELLS) if cell not in avoid]
    return dict.fromkeys(free[:count], WASTE)


def growth(chance, size=(16, 16)):
    """Draws of growth: those given by cell, elsewhere never."""
    array = np.full(size, NEVER)
    for cell, value in chance.items():
        array[cell] = value
    return array


class TestApples:
    def test_stepping_onto_an_apple_eats_it(self, hall):
        result = hall.play(hall.at((11, 10), cells={(11, 11): APPLE, (8, 8): APPLE}), RIGHT)
        assert result.reward.tolist() == [1, 0, 0, 0, 0, 0]
        assert result.events["apples"].tolist() == [1, 0, 0, 0, 0, 0]
        assert result.events["apples_left"] == 1
        assert result.cells[11, 11] == EMPTY
        assert hall.play(result.state, STAY).reward[0] == 0

    def test_apples_are_eaten_after_the_moves(self, hall):
        # Both want the apple: who wins the draw eats it.
        state = hall.at((11, 10), (11, 12), cells={(11, 11): APPLE})
        result = hall.play(state, RIGHT, 0, priority=[0.2, 0.8])
        assert result.reward.tolist() == [0, 1, 0, 0, 0, 0]

    def test_who_does_not_get_there_eats_nothing(self, hall):
        result = hall.play(hall.at((11, 10), cells={(11, 12): APPLE, (10, 10): APPLE}), RIGHT)
        assert result.reward[0] == 0
        assert len(cells(result.cells, APPLE)) == 2

    def test_beams_leave_apples_alone(self, harbour):
        ground = {(9, 10): APPLE, **dirty(20)}
        for action in (FIRE, SCRUB):
            result = harbour.play(harbour.at((9, 7), heading=[EAST], cells=ground), action)
            assert result.cells[9, 10] == APPLE
            assert result.beams[9, 12] == action  # the codes of the beams happen to be 7 and 8

    def test_cleanup_too(self, harbour):
        result = harbour.play(harbour.at((9, 9), cells={(9, 10): APPLE}), RIGHT)
        assert result.reward.tolist() == [1, 0, 0, 0, 0, 0]
        assert result.events["apples_left"] == 0


OFFSETS = tuple((r, c) for r in range(-3, 4) for c in range(-3, 4) if (r, c) != (0, 0))
# The rule book's 12 cells at L2 distance <= 2, and the 8 of the 3 x 3 square.
NEAR = {
    "paper": {(-2, 0), (-1, -1), (-1, 0), (-1, 1), (0, -2), (0, -1), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)},
    "ssd": {(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)},
}


class TestHarvestGrowth:
    CENTRE = (11, 11)

    @pytest.mark.parametrize("variant", ["paper", "ssd"])
    def test_neighbourhood(self, hall, variant):
        stage, near = hall.other(variant=variant), set()
        draws = growth({self.CENTRE: 0.0049})
        for down, right in OFFSETS:
            result = stage.play(stage.at(cells={(11 + down, 11 + right): APPLE}), growth=draws)
            if result.cells[self.CENTRE] == APPLE:
                near.add((down, right))
        assert near == NEAR[variant]

    @pytest.mark.parametrize("variant", ["paper", "ssd"])
    @pytest.mark.parametrize(("apples", "chance"), [(1, 0.005), (2, 0.02), (3, 0.05), (4, 0.05), (8, 0.05)])
    def test_chances_are_exact(self, hall, variant, apples, chance):
        stage = hall.other(variant=variant)
        around = [(10, 10), (12, 12), (10, 11), (11, 12), (11, 10), (12, 11), (10, 12), (12, 10)]
        state = stage.at(cells=dict.fromkeys(around[:apples], APPLE))
        chance = np.float32(chance)
        below = stage.play(state, growth=growth({self.CENTRE: np.nextafter(chance, np.float32(0))}))
        assert below.cells[self.CENTRE] == APPLE
        assert below.events["apples_left"] == apples + 1
        assert stage.play(state, growth=growth({self.CENTRE: chance})).cells[self.CENTRE] == EMPTY

    def test_without_neighbours_nothing_grows(self, hall):
        assert not cells(hall.play(hall.at(), growth=np.zeros((16, 16))).cells, APPLE)

    def test_all_sites_at_once(self, hall):
        # Zero draws everywhere: what the apple's own neighbours would feed must wait for the next step.
        result = hall.play(hall.at(cells={self.CENTRE: APPLE}), growth=np.zeros((16, 16)))
        near = {(11 + down, 11 + right) for down, right in NEAR["paper"]}
        assert cells(result.cells, APPLE) == {self.CENTRE, *near}

    def test_only_on_sites_and_never_under_an_agent(self, hall):
        state = hall.at((9, 8), (8, 9), cells={(8, 8): APPLE})  # floor at (7, 8) and (8, 7)
        result = hall.play(state, growth=np.zeros((16, 16)))
        assert cells(result.cells, APPLE) == {(8, 8), (9, 9), (10, 8), (8, 10)}

    def test_growth_counts_after_eating(self, hall):
        result = hall.play(hall.at((11, 10), cells={self.CENTRE: APPLE}), RIGHT, growth=np.zeros((16, 16)))
        assert not cells(result.cells, APPLE)

    def test_a_site_that_an_agent_left_may_regrow_at_once(self, hall):
        state = hall.at(self.CENTRE, cells={(11, 12): APPLE, (10, 10): EMPTY})
        result = hall.play(state, FORWARD, growth=growth({self.CENTRE: 0.0}))
        assert result.cells[self.CENTRE] == APPLE


class TestCleaningBeam:
    def test_each_ray_cleans_its_first_waste(self, harbour):
        column = [(5, 12), (4, 12), (3, 12)]
        left, right = [(6, 11), (2, 11)], [(3, 13), (2, 13)]
        result = harbour.play(harbour.at((6, 12), cells=dict.fromkeys([*column, *left, *right], WASTE)), SCRUB)
        assert cells(result.cells, WASTE) == {(4, 12), (3, 12), (2, 11), (2, 13)}
        assert cells(result.beams, CLEAN) == {(5, 12), (6, 11), (6, 13), (5, 13), (4, 13), (3, 13)}
        assert result.events["cleans"].tolist() == [3, 0, 0, 0, 0, 0]
        assert result.events["cleanings"].tolist() == [1, 0, 0, 0, 0, 0]

    def test_it_is_free_and_hurts_nobody(self, harbour):
        result = harbour.play(harbour.at((6, 12), (3, 12), (6, 11)), SCRUB)
        assert not result.reward.any()
        assert not result.events["hits"].any()
        assert not result.events["fires"].any()
        assert result.events["cleanings"].tolist() == [1, 0, 0, 0, 0, 0]

    def test_an_agent_ends_the_ray(self, harbour):
        state = harbour.at((6, 12), (3, 12), cells={(2, 12): WASTE})
        result = harbour.play(state, SCRUB)
        assert result.cells[2, 12] == WASTE
        assert {cell for cell in cells(result.beams, CLEAN) if cell[1] == 12} == {(5, 12), (4, 12), (3, 12)}

    def test_waste_under_the_agent_that_ends_the_ray_is_cleaned(self, harbour):
        state = harbour.at((6, 12), (3, 12), cells={(3, 12): WASTE, (2, 12): WASTE})
        result = harbour.play(state, SCRUB)
        assert cells(result.cells, WASTE) == {(2, 12)}
        assert result.events["cleans"][0] == 1

    def test_waste_under_the_cleaner_stays(self, harbour):
        assert harbour.play(harbour.at((6, 12), cells={(6, 12): WASTE}), SCRUB).cells[6, 12] == WASTE

    def test_a_wall_ends_the_ray(self, harbour):
        # The wall is at (4, 10); a second waste stands beyond it.
        state = harbour.at((6, 10), cells={(3, 10): WASTE, (3, 11): WASTE})
        result = harbour.play(state, SCRUB)
        assert cells(result.cells, WASTE) == {(3, 10)}
        assert {cell for cell in cells(result.beams, CLEAN) if cell[1] == 10} == {(5, 10)}

    @pytest.mark.parametrize(("order", "left"), [([0.1, 0.2], {(3, 12), (2, 12)}), ([0.2, 0.1], {(3, 12), (2, 12)})])
    def test_a_later_beam_sees_what_an_earlier_one_cleaned(self, harbour, order, left):
        ground = dict.fromkeys([(5, 12), (4, 12), (3, 12), (2, 12)], WASTE)
        # Agent 0 cleans along column 12 by its centre ray, agent 1 by its right one: the second finds the next waste.
        result = harbour.play(harbour.at((6, 12), (5, 11), cells=ground), SCRUB, SCRUB, order=order)
        assert cells(result.cells, WASTE) == left
        assert result.events["cleans"].tolist() == [1, 1, 0, 0, 0, 0]

    @pytest.mark.parametrize(("order", "cleans"), [([0.1, 0.2], [3, 1]), ([0.2, 0.1], [1, 3])])
    def test_the_order_of_the_beams_matters(self, harbour, order, cleans):
        # Agent 0 looks up from (6, 12), agent 1 left from (4, 14). Both reach (4, 12) and (5, 13): the first one cleans
        # them. Only agent 1 reaches (3, 12); (5, 11) lies behind (5, 13) for agent 1.
        ground = dict.fromkeys([(4, 12), (3, 12), (5, 13), (5, 11)], WASTE)
        state = harbour.at((6, 12), (4, 14), heading=[UP, WEST], cells=ground)
        result = harbour.play(state, SCRUB, SCRUB, order=order)
        assert result.events["cleans"][:2].tolist() == cleans

    def test_ties_of_order_go_to_the_lowest_index(self, harbour):
        state = harbour.at((6, 12), (4, 14), heading=[UP, WEST], cells={(4, 12): WASTE})
        result = harbour.play(state, SCRUB, SCRUB, order=[0.4, 0.4])
        assert result.events["cleans"][:2].tolist() == [1, 0]

    def test_fining_beams_do_not_clean(self, harbour):
        state = harbour.at((6, 12), (6, 8), heading=[UP, UP], cells={(5, 12): WASTE, (5, 8): WASTE})
        result = harbour.play(state, SCRUB, FIRE)
        assert result.events["cleans"].tolist() == [1, 0, 0, 0, 0, 0]
        assert cells(result.cells, WASTE) == {(5, 8)}


def chance(waste, river):
    """The contract's p, in float32, one operation at a time."""
    density = np.float32(waste) / np.float32(river)
    return np.float32(0.05) * (np.float32(1) - density / np.float32(0.4))


class TestCleanupGrowth:
    SITES = frozenset((row, column) for row in (8, 9) for column in (9, 10, 11))

    @pytest.mark.parametrize("variant", ["paper", "ssd"])
    @pytest.mark.parametrize("waste", range(20))
    def test_chances_are_exact(self, harbour, variant, waste):
        stage = harbour.other(variant=variant)
        state, p = stage.at(cells=dirty(waste)), chance(waste, 50)
        below = np.nextafter(p, np.float32(0))
        result = stage.play(state, growth=growth({(8, 9): below, (9, 11): p}))
        assert cells(result.cells, APPLE) == {(8, 9)}

    @pytest.mark.parametrize("variant", ["paper", "ssd"])
    def test_at_a_density_of_four_tenths_nothing_grows_and_no_waste_appears(self, harbour, variant):
        stage = harbour.other(variant=variant)
        for waste in (20, 21, 35, 50):
            result = stage.play(stage.at(cells=dirty(waste)), growth=np.zeros((16, 16)), waste=[0.0, 0.0])
            assert not cells(result.cells, APPLE)
            assert len(cells(result.cells, WASTE)) == waste
        below = stage.play(stage.at(cells=dirty(19)), growth=np.zeros((16, 16)), waste=[0.0, 0.0])
        assert cells(below.cells, APPLE) == self.SITES
        assert len(cells(below.cells, WASTE)) == 20

    @pytest.mark.parametrize("river", [5, 25, 55, 110])
    def test_the_threshold_is_exact_whatever_the_river(self, twin, river):
        # With 25, 55 and 110 (and 50 above) waste * (1 / river), which a compiler likes better, falls below 0.4.
        text = "\n".join(["@" * (river + 4), f"@PB{'R' * river}@", "@" * (river + 4)])
        stage = twin(Cleanup(map=text, agents=1, view=3))
        for extra in (-1, 0, 1):
            waste = 2 * river // 5 + extra
            state = stage.at(cells={(1, 3 + k): WASTE for k in range(waste)})
            result = stage.play(state, growth=np.zeros(stage.state.cells.shape), waste=[0.0, 0.999])
            assert bool(cells(result.cells, APPLE)) == (extra < 0)
            assert len(cells(result.cells, WASTE)) == waste + (extra < 0)

    def test_the_density_is_taken_after_the_beams(self, harbour):
        # 20 wastes: nothing grows. The beam cleans the one at (6, 13), and 19 are left to count.
        state = harbour.at((6, 10), heading=[EAST], cells=dict.fromkeys([*RIVER_CELLS[:19], (6, 13)], WASTE))
        p = chance(19, 50)
        draws = growth({(8, 9): np.nextafter(p, np.float32(0)), (9, 9): p})
        assert not cells(harbour.play(state, STAY, growth=draws, waste=[0.0, 0.0]).cells, APPLE)
        result = harbour.play(state, SCRUB, growth=draws, waste=[0.0, 0.0])
        assert result.events["cleans"][0] == 1
        assert cells(result.cells, APPLE) == {(8, 9)}
        assert len(cells(result.cells, WASTE)) == 20

    def test_growth_only_on_empty_sites_without_agent(self, harbour):
        state = harbour.at((8, 9), (9, 11), cells={(8, 10): APPLE})
        result = harbour.play(state, growth=np.zeros((16, 16)))
        assert cells(result.cells, APPLE) == self.SITES - {(8, 9), (9, 11)}

    def test_stream_never_dirty(self, harbour):
        state, seen = harbour.at(cells=dirty(15)), set()
        for position in np.linspace(0, 0.9999, 71):
            seen |= cells(harbour.play(state, waste=[0.0, position]).cells, WASTE)
        assert seen == set(RIVER_CELLS)


class TestWaste:
    @pytest.mark.parametrize(("draw", "appears"), [(0.0, True), (0.4999, True), (0.5, False), (0.9, False)])
    def test_one_appears_with_probability_a_half(self, harbour, draw, appears):
        result = harbour.play(harbour.at(), waste=[draw, 0.0])
        assert len(cells(result.cells, WASTE)) == appears
        assert result.events["waste_density"] == np.float32(appears) / np.float32(50)

    @pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
    def test_ssd_one_every_step(self, harbour, draw):
        stage = harbour.other(variant="ssd")
        assert len(cells(stage.play(stage.at(), waste=[draw, 0.0]).cells, WASTE)) == 1

    @pytest.mark.parametrize("waste", [0, 7, 19])
    def test_on_a_clean_river_cell_in_row_major_order(self, harbour, waste):
        ground = dirty(waste, (1, 9), (2, 8))
        clean = [cell for cell in RIVER_CELLS if cell not in ground]
        for k, cell in enumerate(clean):
            result = harbour.play(harbour.at(cells=ground), waste=[0.0, (k + 0.5) / len(clean)])
            assert cells(result.cells, WASTE) == {*ground, cell}

    def test_the_largest_draw_is_a_cell_too(self, harbour):
        largest = np.float32(1 - 2.0**-24)
        for waste in range(20):
            result = harbour.play(harbour.at(cells=dirty(waste)), waste=[0.0, largest])
            assert len(cells(result.cells, WASTE)) == waste + 1

    def test_it_may_appear_under_an_agent_and_counts_there(self, harbour):
        result = harbour.play(harbour.at((1, 7)), waste=[0.0, 0.0])
        assert result.cells[1, 7] == WASTE
        assert result.board[1, 7] == 9  # the agent hides it
        assert result.events["waste_density"] == np.float32(1) / np.float32(50)
        hidden = harbour.play(
            harbour.at(RIVER_CELLS[0], cells=dict.fromkeys(RIVER_CELLS[:20], WASTE)), waste=[0.0, 0.0]
        )
        assert len(cells(hidden.cells, WASTE)) == 20  # hidden, it still makes 0.4

    def test_it_appears_after_the_beams_and_under_them(self, harbour):
        result = harbour.play(harbour.at((6, 7), cells={(1, 7): WASTE}), SCRUB, waste=[0.0, 0.0])
        assert result.events["cleans"][0] == 1
        assert result.cells[1, 7] == WASTE  # cleaned, then the first clean cell again
        assert result.board[1, 7] == CLEAN

    def test_apples_and_waste_see_one_density(self, harbour):
        # The new waste makes 20 of 50; apples of the same step grow by the density before it.
        result = harbour.play(harbour.at(cells=dirty(19)), growth=np.zeros((16, 16)), waste=[0.0, 0.0])
        assert cells(result.cells, APPLE) == TestCleanupGrowth.SITES
        assert result.events["waste_density"] == np.float32(0.4)

    def test_agents_walk_on_river_stream_and_waste(self, harbour):
        for start in ((1, 7), (7, 10)):
            result = harbour.play(harbour.at(start, heading=[EAST], cells={(1, 8): WASTE}), FORWARD)
            assert tuple(result.position[0]) == (start[0], start[1] + 1)

    def test_a_river_of_no_cells_is_refused(self, harbour):
        with pytest.raises(GameError):
            dataclasses.replace(harbour.game, map="@@@@@\n@PBS@\n@@@@@", agents=1)
