"""Chains: closed forms, exact arithmetic, and properties of random chains."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from suasion.markov import MarkovChain


def ruin(size, up):
    """Gambler's ruin on 0 .. size: both ends absorb."""
    matrix = np.zeros((size + 1, size + 1))
    matrix[0, 0] = matrix[size, size] = 1
    for s in range(1, size):
        matrix[s, s + 1], matrix[s, s - 1] = up, 1 - up
    return MarkovChain(transition=matrix)


def cycle(length):
    return np.roll(np.eye(length), 1, axis=1)


@st.composite
def chains(draw, largest=7):
    """Random chains with many zeros: reducible, periodic and absorbing ones among them."""
    size = draw(st.integers(1, largest))
    weights = draw(st.lists(st.lists(st.integers(0, 3), min_size=size, max_size=size), min_size=size, max_size=size))
    matrix = np.array(weights, float)
    matrix[matrix.sum(axis=1) == 0, 0] = 1
    return matrix / matrix.sum(axis=1, keepdims=True)


def exact_stationary(matrix):
    """In rational arithmetic, of an irreducible chain whose diagonal is what the other entries leave."""
    size = len(matrix)
    rows = [[Fraction(x) for x in row] for row in matrix.tolist()]
    for s in range(size):
        rows[s][s] = 1 - sum(x for t, x in enumerate(rows[s]) if t != s)
    system = [[rows[j][i] - (i == j) for j in range(size)] + [Fraction(0)] for i in range(size)]
    system[-1] = [Fraction(1)] * (size + 1)
    for k in range(size):
        pivot = next(i for i in range(k, size) if system[i][k])
        system[k], system[pivot] = system[pivot], system[k]
        system[k] = [x / system[k][k] for x in system[k]]
        for i in range(size):
            if i != k and system[i][k]:
                factor = system[i][k]
                system[i] = [x - factor * y for x, y in zip(system[i], system[k], strict=True)]
    return np.array([float(row[-1]) for row in system])


@pytest.mark.parametrize("up", [0.5, 0.3])
def test_gamblers_ruin(up):
    size = 10
    held = ruin(size, up).absorption()
    s = np.arange(size + 1)
    ratio = (1 - up) / up
    if up == 0.5:
        upper, time = s / size, s * (size - s)
    else:
        upper = (1 - ratio**s) / (1 - ratio**size)
        time = s / (1 - 2 * up) - size / (1 - 2 * up) * upper
    assert held.probability[:, 1] == pytest.approx(upper, rel=1e-13)
    assert held.probability.sum(axis=1) == pytest.approx(1, rel=1e-14)
    assert held.time == pytest.approx(time, rel=1e-13)
    hit = ruin(size, up).hitting([size])
    assert hit.probability == pytest.approx(upper, rel=1e-13)
    assert hit.time.tolist() == [np.inf] * size + [0]


def test_two_state_chain():
    a, b = 0.3, 0.1
    chain = MarkovChain(transition=np.array([[1 - a, a], [b, 1 - b]]))
    assert chain.stationary().distribution == pytest.approx([b / (a + b), a / (a + b)], rel=1e-15)
    assert chain.spectral_gap() == pytest.approx(a + b, rel=1e-12)
    assert chain.hitting([1]).time == pytest.approx([1 / a, 0], rel=1e-14)
    distance = a / (a + b)  # from state 0, the farther one; times (1 - a - b)^t
    assert chain.mixing_time(0.01) == int(np.ceil(np.log(0.01 / distance) / np.log(1 - a - b)))


def test_walk_on_a_graph_stays_in_proportion_to_degrees():
    graph = np.triu(np.random.default_rng(0).random((30, 30)) < 0.2, 1).astype(float)
    graph += np.diag(np.ones(29), 1)
    graph = np.minimum(graph + graph.T, 1)
    degree = graph.sum(axis=1)
    chain = MarkovChain(transition=graph / degree[:, None])
    assert chain.stationary().distribution == pytest.approx(degree / degree.sum(), rel=1e-13)


def test_nearly_decomposable_chain_entrywise():
    """Three states, couplings of 1e-10: pi = (1, 1, 1000) / 1002."""
    e = 1e-10
    matrix = np.array([[1 - e, e, 0], [0, 1 - e, e], [e / 1000, 0, 1 - e / 1000]])
    found = MarkovChain(transition=matrix).stationary().distribution
    assert found == pytest.approx(np.array([1, 1, 1000]) / 1002, rel=1e-12)


def test_nearly_decomposable_blocks_against_exact_arithmetic():
    rng = np.random.default_rng(3)
    matrix = np.kron(np.eye(3), rng.integers(1, 9, (4, 4))) + 1e-10 * rng.integers(1, 9, (12, 12))
    matrix /= 128
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, 1 - matrix.sum(axis=1))
    found = MarkovChain(transition=matrix).stationary().distribution
    assert np.abs(found / exact_stationary(matrix) - 1).max() < 1e-12


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 130, 300])
def test_blocks_of_the_elimination(size):
    """Birth and death: detailed balance is a closed form, over many blocks."""
    rng = np.random.default_rng(size)
    up, down = rng.uniform(0.1, 0.5, size), rng.uniform(0.1, 0.5, size)
    up[-1] = down[0] = 0
    matrix = np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    np.fill_diagonal(matrix, 1 - matrix.sum(axis=1))
    order = rng.permutation(size)
    wanted = np.cumprod(np.concatenate([[1.0], up[:-1] / down[1:]]))[order]
    found = MarkovChain(transition=matrix[np.ix_(order, order)]).stationary()
    assert found.distribution == pytest.approx(wanted / wanted.sum(), rel=1e-12)
    assert found.converged.all()
    assert found.residual[0] < 1e-14


@given(chains())
def test_structure_against_powers(matrix):
    chain = MarkovChain(transition=matrix)
    size = len(matrix)
    step = (matrix > 0).astype(int)
    ways = [np.eye(size, dtype=int)]
    for _ in range(2 * size * size):
        ways.append(((ways[-1] @ step) > 0).astype(int))
    reach = np.any(ways[: size + 1], axis=0)
    classes = chain.classes
    for s in range(size):
        together = reach[s] & reach[:, s]
        assert (classes.label == classes.label[s]).tolist() == together.tolist()
        assert chain.recurrent[s] == (reach[s] <= together).all()
        back = [k for k in range(1, len(ways)) if ways[k][s, s]]
        assert classes.period[classes.label[s]] == np.gcd.reduce(back or [0])


@given(chains())
def test_stationary_distributions_are_invariant_and_each_on_one_class(matrix):
    chain = MarkovChain(transition=matrix)
    held = chain.stationary()
    assert len(held.distributions) == chain.classes.closed.sum()
    assert np.abs(held.distributions @ matrix - held.distributions).max() < 1e-14
    assert held.distributions.sum(axis=1) == pytest.approx(1, rel=1e-14)
    for row, number in zip(held.distributions, np.flatnonzero(chain.classes.closed), strict=True):
        assert np.flatnonzero(row).tolist() == chain.classes.members(number).tolist()


@given(chains(), st.integers(0, 6))
def test_hitting_and_absorption_satisfy_their_equations(matrix, goal):
    chain = MarkovChain(transition=matrix)
    goal %= len(matrix)
    held = chain.hitting([goal])
    others = np.arange(len(matrix)) != goal
    assert held.probability[goal] == 1
    assert held.time[goal] == 0
    assert held.probability[others] == pytest.approx((matrix @ held.probability)[others], rel=1e-12, abs=1e-14)
    finite = np.isfinite(held.time)
    assert (finite == (held.probability == 1)).all()
    mean = np.where(matrix > 0, matrix * np.where(finite, held.time, 0), 0).sum(axis=1) + 1
    assert held.time[others & finite] == pytest.approx(mean[others & finite], rel=1e-12)
    end = chain.absorption()
    assert matrix @ end.probability == pytest.approx(end.probability, rel=1e-12, abs=1e-14)
    assert end.probability.sum(axis=1) == pytest.approx(1, rel=1e-13)
    visits = chain.fundamental()
    assert visits.visits.sum(axis=1) == pytest.approx(end.time[visits.states], rel=1e-12)


def test_far_states_are_hit_after_a_time_that_is_accurate():
    """From 0 up to n with a drift of 1/4 against: the time grows like 3^n; subtraction would lose it."""
    size = 40
    matrix = np.diag(np.full(size, 0.25), 1) + np.diag(np.full(size, 0.75), -1)
    matrix[0, 0], matrix[size, size - 1], matrix[size, size] = 0.75, 0, 1
    exact, steps = Fraction(0), Fraction(0)
    for _ in range(size):  # up from s: 4 + 3 times the way up from s - 1
        steps = 4 + 3 * steps
        exact += steps
    found = MarkovChain(transition=matrix).hitting([size]).time[0]
    assert abs(Fraction(found) / exact - 1) < 1e-12


@pytest.mark.parametrize("length", [1, 2, 3, 12])
def test_period_of_cycles(length):
    chain = MarkovChain(transition=cycle(length))
    assert chain.period == length
    assert chain.is_aperiodic == (length == 1)
    assert chain.is_irreducible
    if length > 1:
        assert chain.spectral_gap() == 0
        with pytest.raises(ValueError, match=f"never mixes: its closed class has period {length}"):
            chain.mixing_time()


def test_two_cycles_that_share_a_state_have_the_gcd_of_their_lengths():
    matrix = np.zeros((9, 9))
    for a, b in [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 0)]:
        matrix[a, b] = 1
    assert MarkovChain(transition=matrix / matrix.sum(axis=1, keepdims=True)).period == 2


def test_mixing_time_is_the_first_time_within_eps():
    matrix = np.random.default_rng(5).dirichlet(np.full(6, 0.3), 6) * 0.3 + 0.7 * np.eye(6)
    chain = MarkovChain(transition=matrix)
    pi = chain.stationary().distribution
    for eps in (0.4, 0.1, 1e-3):
        time = chain.mixing_time(eps)
        far = [np.abs(np.linalg.matrix_power(matrix, t) - pi).sum(axis=1).max() / 2 for t in (time - 1, time)]
        assert far[1] <= eps < far[0]


def test_mixing_time_of_a_nearly_decomposable_chain():
    e = 1e-10
    chain = MarkovChain(transition=np.array([[1 - e, e], [e, 1 - e]]))
    assert chain.mixing_time(0.25) == pytest.approx(np.log(0.5) / np.log1p(-2 * e), rel=1e-5)


def test_sparse_and_dense_agree(monkeypatch):
    monkeypatch.setattr("suasion.markov._mixing._SMALL", 10)
    matrix = np.random.default_rng(1).dirichlet(np.full(200, 0.03), 200) * 0.9
    matrix += 0.1 * cycle(200)
    dense, thin = MarkovChain(transition=matrix), MarkovChain(transition=sparse.csr_array(matrix))
    assert thin.stationary().distribution == pytest.approx(dense.stationary().distribution, rel=1e-12)
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))
    assert thin.spectral_gap() == pytest.approx(1 - moduli[-2], rel=1e-9)


def random_walk(size, per_row=4):
    """A random sparse chain with a cycle through all states."""
    rng = np.random.default_rng(0)
    entries = rng.dirichlet(np.ones(per_row), size) * 0.9
    rows = np.repeat(np.arange(size), per_row + 1)
    columns = np.concatenate([rng.integers(0, size, (size, per_row)), (np.arange(size)[:, None] + 1) % size], axis=1)
    weights = np.concatenate([entries, np.full((size, 1), 0.1)], axis=1)
    return MarkovChain(transition=sparse.csr_array((weights.ravel(), (rows, columns.ravel())), shape=(size, size)))


def grid_walk(side):
    """A walk on a square whose rates are random: it mixes slowly, and nothing is known in advance."""
    rng = np.random.default_rng(1)
    row, column = np.divmod(np.arange(side * side), side)
    targets = [
        np.clip(row + r, 0, side - 1) * side + np.clip(column + c, 0, side - 1)
        for r, c in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    weights = rng.uniform(0.1, 1, (4, side * side))
    weights /= weights.sum(axis=0)
    rows = np.tile(np.arange(side * side), 4)
    matrix = sparse.csr_array((weights.ravel(), (rows, np.concatenate(targets))), shape=(side * side,) * 2)
    return MarkovChain(transition=matrix)


def test_a_million_states():
    chain = random_walk(1_000_000)
    held = chain.stationary()
    assert held.converged.all()
    pi = held.distribution
    assert np.abs(pi @ chain.transition - pi).sum() <= 1e-12
    assert (pi > 0).all()
    assert chain.is_aperiodic


def test_a_slowly_mixing_sparse_chain_by_cycles_on_many_levels():
    chain = grid_walk(60)
    held = chain.stationary()
    assert held.converged.all()
    assert held.iterations[0] > 0
    wanted = MarkovChain(transition=chain.matrix.toarray()).stationary().distribution
    assert held.distribution == pytest.approx(wanted, rel=1e-8)


def test_a_residual_that_is_not_reached_is_said_so():
    held = grid_walk(60).stationary(max_sweeps=12)
    assert not held.converged.any()
    assert held.residual[0] > 1e-12
    assert held.iterations.tolist() == [12]


def separate_blocks(size, coupling):
    """Blocks of five states that hardly know each other."""
    rng = np.random.default_rng(size)
    blocks = sparse.block_diag([rng.random((5, 5)) for _ in range(size // 5)])
    links = sparse.csr_array((coupling * rng.random(size), (np.arange(size), (np.arange(size) + 3) % size)))
    matrix = sparse.csr_array(blocks + links)
    return MarkovChain(transition=sparse.csr_array(sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix))


@pytest.mark.parametrize(
    ("chain", "error"),
    [
        (lambda: separate_blocks(500, 1e-4), 1e-6),
        (lambda: separate_blocks(805, 1e-8), 1e-3),  # a residual of 1e-12 leaves an error of this over the coupling
        (lambda: MarkovChain(transition=sparse.csr_array(cycle(400))), 1e-12),
        (lambda: MarkovChain(transition=sparse.csr_array(cycle(400).T.copy())), 1e-12),
        (lambda: MarkovChain(transition=sparse.csr_array(ruin_with_returns(600))), 1e-6),
        (lambda: MarkovChain(transition=sparse.csr_array(drift(1000))), 1e-10),
        (lambda: grid_walk(20), 1e-8),
        (lambda: random_walk(400), 1e-10),
    ],
)
def test_iterations_agree_with_elimination(chain, error, monkeypatch):
    """The methods for large classes, made to work on small ones."""
    monkeypatch.setattr("suasion.markov._stationary._SMALL", 10)
    monkeypatch.setattr("suasion.markov._multilevel._SMALLEST", 20)
    thin = chain()
    held = thin.stationary()
    assert held.converged.all()
    assert held.iterations[0] > 0
    wanted = MarkovChain(transition=thin.matrix.toarray()).stationary().distribution
    assert np.abs(held.distribution - wanted).sum() < error


def drift(size):
    """Upwards with odds of 9 to 1: the lower states are visited less often than floating point can say."""
    matrix = np.diag(np.full(size - 1, 0.9), 1) + np.diag(np.full(size - 1, 0.1), -1)
    matrix[0, 0], matrix[-1, -1] = 0.1, 0.9
    return matrix


def ruin_with_returns(size):
    """Up or down with equal odds, and back from the ends: period 2."""
    matrix = np.diag(np.full(size - 1, 0.5), 1) + np.diag(np.full(size - 1, 0.5), -1)
    matrix[0, 1] = matrix[-1, -2] = 1
    return matrix


def test_times_in_a_large_chain_satisfy_their_equation():
    chain = random_walk(60_000)
    held = chain.hitting([0, 7])
    assert held.residual < 1e-13
    assert (chain.transition @ held.time + 1)[100:] == pytest.approx(held.time[100:], rel=1e-12)


def test_large_sparse_systems():
    """A walk down a long ladder: absorption by the sparse methods, against closed forms."""
    for size in (3000, 60_000):
        index = np.arange(1, size)
        rows, columns = np.concatenate([[0], index, index]), np.concatenate([[0], index - 1, index])
        matrix = sparse.csr_array((np.concatenate([[1.0], np.full(2 * size - 2, 0.5)]), (rows, columns)))
        held = MarkovChain(transition=matrix).hitting([0])
        assert held.time == pytest.approx(2.0 * np.arange(size), rel=1e-10)
        assert held.probability.min() == 1


def test_walks_visit_states_as_often_as_they_should():
    """100,000 moves from each state: a chi-square, which cries wolf for one seed in 10,000."""
    rng = np.random.default_rng(0)
    matrix = np.array([[0.2, 0.0, 0.8, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0], [1e-3, 0.3, 0.3, 0.399]])
    chain = MarkovChain(transition=matrix, initial=np.array([0.5, 0, 0.5, 0]))
    moved = chain.simulate(1, rng, start=np.repeat(np.arange(4), 100_000))
    counts = np.bincount(moved[:, 0] * 4 + moved[:, 1], minlength=16).reshape(4, 4)
    assert (counts[matrix == 0] == 0).all()
    square = np.where(matrix > 0, (counts - 1e5 * matrix) ** 2 / np.maximum(1e5 * matrix, 1e-300), 0).sum()
    assert square < 29.9  # 1 + 3 + 0 + 3 degrees of freedom
    walks = chain.simulate(3, rng, walks=1000)
    assert walks.shape == (1000, 4)
    assert set(walks[:, 0]) == {0, 2}


def test_walks_are_a_function_of_the_seed_and_are_in_one_piece():
    chain = random_walk(50)
    one, two = (chain.simulate(40_000, np.random.default_rng(7), start=0, walks=40) for _ in range(2))
    assert (one == two).all()
    assert (chain.matrix[one[:, :-1].ravel(), one[:, 1:].ravel()] > 0).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"transition": np.array([[0.5, 0.5], [0.5, 0.4]])}, r"transition\[1\] sums to 0\.9, not 1"),
        ({"transition": np.array([[0.5, 0.5], [0.5, 0.4]]), "states": ("a", "b")}, r"transition\[1 \(b\)\] sums"),
        ({"transition": np.array([[1.5, -0.5], [0.5, 0.5]])}, r"transition\[0, 1\] is -0\.5"),
        ({"transition": sparse.csr_array([[0.5, 0.5], [np.nan, 1]])}, r"transition\[1, 0\] is nan"),
        ({"transition": np.ones((1, 2))}, "transition is 1 by 2: it must be square"),
        ({"transition": np.eye(2), "initial": np.array([1.0])}, "initial has 1 entries, not 2"),
        ({"transition": np.eye(2), "initial": np.array([1.0, 1])}, "initial sums to 2"),
        ({"transition": np.eye(2), "states": ("a",)}, "1 names for 2 states"),
    ],
)
def test_refused_with_place_and_number(fields, message):
    with pytest.raises(ValueError, match=message):
        MarkovChain(**fields)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.hitting([2]), "goal holds 2: states are 0 to 1"),
        (lambda c: c.hitting(np.zeros(2, bool)), "goal holds no state"),
        (lambda c: c.hitting(np.zeros(3, bool)), "goal has 3 entries"),
        (lambda c: c.mixing_time(1.0), r"eps is 1\.0, outside"),
        (lambda c: c.mixing_time(), "never mixes: it has 2 closed classes"),
        (lambda c: c.period, "the chain has 2 classes"),
        (lambda c: c.stationary().distribution, "there are 2 closed classes"),
        (lambda c: c.stationary(tolerance=0.0), r"tolerance is 0\.0"),
        (lambda c: c.simulate(1, np.random.default_rng(0)), "give start"),
        (lambda c: c.simulate(-1, np.random.default_rng(0), start=0), "steps is -1, below 0"),
        (lambda c: c.simulate(1, np.random.default_rng(0), start=0, walks=0), "there are 0 walks and 1 starts"),
        (lambda c: c.simulate(1, np.random.default_rng(0), start=np.array([0, 1]), walks=3), "3 walks and 2 starts"),
        (lambda c: c.simulate(1, np.random.default_rng(0), start=2), "walk 0 starts in 2: states are 0 to 1"),
    ],
)
def test_questions_without_an_answer(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(MarkovChain(transition=np.eye(2)))
