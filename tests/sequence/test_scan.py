"""The selective scan: all forms are one function, with one gradient; splits, episodes, causality, bad input."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.sequence import _chunks, _scan, gated_scan, selective_scan, selective_step
from suasion.sequence._chunks import Plan, scan_by_chunks
from suasion.sequence._kernel import scan_by_kernel
from suasion.sequence._reference import scan_associatively, scan_step_by_step
from suasion.statespace import LinearSystem

RULES = ("zoh", "euler")
# Each folds time and batch in its own way; what is filled up is among them.
SIZES = {
    "plain": ((70, 2, 3, 2), 2**15, Plan(lanes=1, blocks=1, size=2, chunks=3, chunk=24)),
    "lanes": ((100, 1, 3, 2), 24, Plan(lanes=3, blocks=1, size=1, chunks=2, chunk=17)),
    "blocks": ((37, 5, 3, 2), 12, Plan(lanes=1, blocks=3, size=2, chunks=2, chunk=19)),
    "one step": ((1, 2, 3, 2), 2**15, Plan(lanes=1, blocks=1, size=2, chunks=1, chunk=1)),
}
FORMS = [*(("chunks", size) for size in SIZES), ("kernel", "plain"), ("associative", "plain"), ("associative", "lanes")]
SCANS = {"chunks": scan_by_chunks, "kernel": scan_by_kernel, "associative": scan_associatively}


def scalar(y, state):
    """A number that depends on every output and on the last state, each with a weight of its own."""
    xp = y.__array_namespace__()
    y_weight, state_weight = (np.random.default_rng(9).normal(size=v.shape).astype("float32") for v in (y, state))
    return xp.sum(y_weight * xp.sin(y)) + xp.sum(state_weight * xp.sin(state))


def with_gradients(scan, rule):
    def both(start, *inputs):
        y, state = scan(rule, *inputs, start)
        return scalar(y, state), (y, state)

    def run(*inputs):
        *real, start = inputs
        gradients, found = jax.grad(functools.partial(both, start), argnums=tuple(range(6)), has_aux=True)(*real)
        return found, gradients

    return run


def converted(inputs, dtype):
    return [jnp.asarray(x) if x.dtype == bool else jnp.asarray(x, dtype) for x in inputs]


@pytest.fixture(scope="module")
def truth(scan_inputs, quick):
    """Outputs step by step in NumPy, and gradients of the scan in parallel, float64, for every size and rule."""

    @functools.cache
    def of(size, rule):
        inputs = scan_inputs(*SIZES[size][0])
        found = scan_step_by_step(rule, *inputs)
        with jax.enable_x64(True):
            gradients = quick(with_gradients(scan_associatively, rule))(*converted(inputs, "float64"))[1]
        return inputs, found, [np.asarray(g) for g in gradients]

    return of


@pytest.mark.parametrize(("form", "size"), FORMS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
def test_all_forms_are_one_function(form, size, rule, dtype, tolerance, truth, quick, assert_close, monkeypatch):
    shape, work, plan = SIZES[size]
    monkeypatch.setattr(_chunks, "_WORK", work)
    assert Plan.of(*shape[:2], shape[2] * shape[3]) == plan
    inputs, found, gradients = truth(size, rule)
    with jax.enable_x64(dtype == "float64"):
        got = jax.tree.map(np.asarray, quick(with_gradients(SCANS[form], rule))(*converted(inputs, dtype)))
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(got))
    assert_close(got[0], found, tolerance)
    assert_close(got[1], gradients, tolerance)


@pytest.mark.parametrize("rule", RULES)
def test_the_gradient_is_that_of_finite_differences(rule, truth):
    inputs, _, gradients = truth("lanes", rule)
    rng = np.random.default_rng(1)
    for k, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        ends = []
        for sign in (1, -1):
            moved = list(inputs)
            moved[k] = inputs[k] + sign * 1e-5 * direction
            ends.append(scalar(*scan_step_by_step(rule, *moved)))
        slope = (ends[0] - ends[1]) / 2e-5
        assert slope == pytest.approx(np.sum(gradient * direction), rel=1e-6, abs=1e-7), k


def test_a_plan_folds_and_unfolds():
    for steps, batch, width in ((1024, 1, 4096), (1024, 8, 4096), (128, 320, 4096), (129, 7, 4096), (1000, 3, 64)):
        plan = Plan.of(steps, batch, width)
        assert plan.lanes == 1 or plan.blocks == 1
        assert plan.lanes * plan.chunks * plan.chunk >= steps
        assert plan.chunk <= 32
        assert plan.lanes * plan.size * width <= 2**15
        x = np.random.default_rng(0).normal(size=(steps, batch)).astype("float32")
        np.testing.assert_array_equal(plan.unfold(plan.fold(jnp.asarray(x)), steps, batch), x)
        state = jnp.asarray(x[0])
        np.testing.assert_array_equal(plan.fold_state(state).reshape(-1)[:batch], state)
    assert Plan.of(1024, 1, 4096).lanes == 8
    assert Plan.of(128, 320, 4096).blocks == 40


class Subject:
    """The public scan with D, gate, state and starts, as users call it."""

    def __init__(self, scan_inputs, quick):
        x, delta, A, B, C, state, start = converted(scan_inputs(45, 3, 4, 2, seed=2), "float32")
        rng = np.random.default_rng(3)
        self.steps = [x, delta, B, C, jnp.asarray(rng.normal(size=x.shape), jnp.float32), start]
        self.A, self.D = A.T, jnp.asarray(rng.normal(size=4), jnp.float32)
        self.state = jnp.swapaxes(state, 1, 2)
        self.whole = quick(functools.partial(self._call, _scan.scan))
        self.one = quick(self._one)

    def _call(self, scan, A, D, state, x, delta, B, C, gate, start):
        y, state = scan("zoh", x, delta, A, B, C, D, state, start)
        return y * jax.nn.silu(gate), state

    def _one(self, A, D, state, x, delta, B, C, gate, start):
        state = jnp.where(start[:, None, None], 0.0, state)
        y, state = _scan.step("zoh", x, delta, A, B, C, D, state)
        return y * jax.nn.silu(gate), state

    def run(self, part=slice(None), state=None, **other):
        steps = [x[part] for x in self.steps]
        return self.whole(self.A, self.D, self.state if state is None else state, *(other.get("steps") or steps))


@pytest.fixture(scope="module")
def subject(scan_inputs, quick):
    return Subject(scan_inputs, quick)


def test_the_public_scan_is_the_equation(subject, assert_close):
    x, delta, B, C, gate, start = subject.steps
    got = selective_scan(
        x, delta, subject.A, B, C, D=subject.D, gate=gate, state=subject.state, start=start, form="associative"
    )
    inputs = [np.asarray(v, None if v.dtype == bool else float) for v in (x, delta, subject.A.T, B, C)]
    y, state = scan_step_by_step("zoh", *inputs, np.swapaxes(np.asarray(subject.state, float), 1, 2), np.asarray(start))
    z = np.asarray(gate, float)
    y = (y + np.asarray(subject.D) * np.asarray(x)) * z / (1 + np.exp(-z))
    assert_close(got, (y, state.swapaxes(1, 2)), 1e-6)
    assert_close(subject.run(), got, 1e-6)


def test_without_options_the_state_is_zero_and_nothing_is_added(subject, assert_close):
    x, delta, B, C, _, _ = subject.steps
    bare = selective_scan(x, delta, subject.A, B, C, form="associative")
    full = selective_scan(
        x,
        delta,
        subject.A,
        B,
        C,
        D=jnp.zeros(4),
        state=jnp.zeros_like(subject.state),
        start=jnp.zeros(x.shape[:2], bool),
        form="associative",
    )
    assert_close(bare, full, 0)


@pytest.mark.parametrize("k", [1, 20, 44])
def test_time_may_be_split_anywhere(k, subject, assert_close):
    y, state = subject.run()
    first, between = subject.run(slice(k))
    second, last = subject.run(slice(k, None), between)
    assert_close((jnp.concatenate([first, second]), last), (y, state), 1e-6)


def test_steps_are_the_scan(subject, assert_close):
    expected, last = subject.run()
    state, ys = subject.state, []
    for t in range(len(expected)):
        y, state = subject.one(subject.A, subject.D, state, *(x[t] for x in subject.steps))
        ys.append(y)
    assert_close((jnp.stack(ys), state), (expected, last), 1e-6)
    x, delta, B, C, gate, start = (v[0] for v in subject.steps)
    public = selective_step(x, delta, subject.A, B, C, D=subject.D, gate=gate, state=subject.state, start=start)
    assert_close(public.y, expected[0], 1e-6)


def test_a_start_forgets_and_no_nan_crosses(subject, quick, assert_close):
    k = 17
    *rest, start = subject.steps
    start = start.at[k].set(True)
    clean = subject.run(steps=[*rest, start])
    alone = subject.whole(subject.A, subject.D, jnp.zeros_like(subject.state), *(x[k:] for x in (*rest, start)))
    assert_close((clean[0][k:], clean[1]), alone, 1e-6)

    spoilt = [x.at[:k].set(jnp.nan) for x in rest]
    y, state = subject.run(steps=[*spoilt, start], state=jnp.full_like(subject.state, jnp.nan))
    assert_close((y[k:], state), alone, 1e-6)
    assert bool(jnp.isnan(y[:k]).all())

    def later(steps, state):
        y, last = subject._call(_scan.scan, subject.A, subject.D, state, *steps, start)
        return jnp.sum(y[k:]) + jnp.sum(last)

    before, carried = quick(jax.grad(later, argnums=(0, 1)))(rest, subject.state)
    assert all(not g[:k].any() for g in before)
    assert not carried.any()


@pytest.mark.parametrize("size", ["plain", "lanes"])
def test_causality_is_exact(size, scan_inputs, quick, monkeypatch):
    shape, work, _ = SIZES[size]
    monkeypatch.setattr(_chunks, "_WORK", work)
    *real, start = converted(scan_inputs(*shape), "float32")
    run = quick(functools.partial(scan_by_chunks, "zoh"))
    k = 41
    moved = [x.at[k:].add(1.0) if x.shape[0] == shape[0] else x for x in real]
    np.testing.assert_array_equal(run(*moved, start)[0][:k], run(*real, start)[0][:k])
    assert float(jnp.abs(run(*moved, start)[0][k:] - run(*real, start)[0][k:]).max()) > 0.1
    early = lambda *real: jnp.sum(jnp.sin(scan_by_chunks("zoh", *real, start)[0][:k]))  # noqa: E731
    gradients = quick(jax.grad(early, argnums=(0, 1, 3, 4)))(*real)
    for g in gradients:
        np.testing.assert_array_equal(g[k:], 0.0)
        assert g[:k].any()


def test_sets_of_parameters_may_be_a_leading_axis(scan_inputs, quick, assert_close):
    sets = [converted(scan_inputs(9, 2, 3, 2, seed=s), "float32") for s in range(2)]
    together = [jnp.stack(each) for each in zip(*sets, strict=True)]
    found = quick(jax.vmap(with_gradients(scan_by_chunks, "euler")))(*together)
    one = quick(with_gradients(scan_by_chunks, "euler"))
    for g, each in enumerate(sets):
        assert_close(jax.tree.map(lambda x, g=g: x[g], found), one(*each), 1e-6)


def test_with_constant_choices_it_is_the_linear_system(quick, assert_close):
    rng = np.random.default_rng(5)
    A, B, C, D = -np.exp(rng.normal(size=3)), rng.normal(size=3), rng.normal(size=3), rng.normal(size=1)
    x = rng.normal(size=(60, 1))
    system = LinearSystem(A=np.diag(A), B=B[:, None], C=C[None], D=D[:, None]).discretise(0.3)
    with jax.enable_x64(True):
        over = lambda v: jnp.asarray(np.tile(v, (60, 1, 1)))  # noqa: E731
        inputs = [jnp.asarray(v) for v in (x[:, None], np.full((60, 1, 1), 0.3), A[None])]
        run = quick(functools.partial(_scan.scan, "zoh"))
        y, state = map(np.asarray, run(*inputs, over(B), over(C), jnp.asarray(D), None, None))
    outputs, states = system.recurrence(x)
    assert_close((y[:, 0], state[0, 0]), (outputs, states[-1]), 1e-13)
    assert_close(y[:, 0], system.convolve(x), 1e-13)


def test_where_a_is_zero_the_state_is_an_integral(quick, assert_close):
    """phi_1 has no hole at 0; both rules are then the sum of delta B x."""
    rng = np.random.default_rng(6)
    x, B = rng.normal(size=(20, 1, 2)), rng.normal(size=(20, 1, 1))
    delta = rng.random((20, 1, 2))
    expected = np.cumsum(delta * B * x, 0)
    args = [jnp.asarray(v, jnp.float32) for v in (np.zeros((2, 1)), x, delta, B, np.ones_like(B))]

    def outputs(rule, A, x, delta, B, C):
        y = _scan.scan(rule, x, delta, A, B, C, None, None, None).y
        return jnp.sum(y), y

    for rule in RULES:
        slope, y = quick(jax.grad(functools.partial(outputs, rule), has_aux=True))(*args)
        assert_close(y, expected, 1e-6)
        assert bool(jnp.isfinite(slope).all())


def test_the_gate_of_a_recurrent_network_is_a_special_case(scan_inputs, quick, assert_close):
    rng = np.random.default_rng(7)
    s, c = (jnp.asarray(rng.normal(size=(30, 2, 3)) * 3, jnp.float32) for _ in range(2))
    start = jnp.asarray(rng.random((30, 2)) < 0.1)
    ones = jnp.ones((30, 2, 1))
    scans = {
        rule: quick(functools.partial(_scan.scan, rule))(
            c, jax.nn.softplus(s), -jnp.ones((3, 1)), ones, ones, None, None, start
        )
        for rule in RULES
    }
    gated = quick(gated_scan)(s, c, jnp.zeros((2, 3)), start)
    assert_close(gated, scans["zoh"].y, 1e-6)
    assert float(jnp.abs(gated - scans["euler"].y).max()) > 0.1  # Euler's rule is not a gate


def test_the_form_is_chosen_by_the_backend(subject, monkeypatch):
    asked = []

    def record(name):
        def scan(rule, x, delta, A, B, C, state, start):
            asked.append((name, rule))
            return x, state

        return scan

    monkeypatch.setattr(_scan, "_FORMS", {name: record(name) for name in ("loops", *SCANS)})
    x, delta, B, C, _, _ = subject.steps
    for backend in ("cpu", "gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        selective_scan(x, delta, subject.A, B, C, discretization="euler")
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    selective_scan(x, delta, subject.A, B, C, discretization="zoh")
    assert asked == [("loops", "euler"), ("kernel", "euler"), ("chunks", "euler"), ("loops", "zoh")]


@pytest.mark.parametrize("rule", RULES)
def test_the_kernel_becomes_a_program_for_a_gpu(rule, scan_inputs, monkeypatch):
    """Lowered, both ways, for a device that is not here; it has not run on one."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    inputs = converted(scan_inputs(40, 2, 33, 3), "float32")
    lowered = jax.jit(with_gradients(scan_by_kernel, rule)).trace(*inputs).lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count("triton") >= 2


BAD = {
    "rank": ({"x": (5, 4)}, r"x has shape \(5, 4\): must be \[steps, batch, channels\]"),
    "no steps": ({"x": (0, 2, 4), "delta": (0, 2, 4), "B": (0, 2, 3), "C": (0, 2, 3)}, "no steps"),
    "no states": ({"A": (4, 0), "B": (5, 2, 0), "C": (5, 2, 0)}, r"A has shape \(4, 0\): no states"),
    "delta": ({"delta": (5, 2, 1)}, r"delta has shape \(5, 2, 1\): must be \(5, 2, 4\)"),
    "A": ({"A": (3, 3)}, r"A has shape \(3, 3\): must be \(4, 3\)"),
    "B": ({"B": (4, 2, 3)}, r"B has shape \(4, 2, 3\): must be \(5, 2, 3\)"),
    "C": ({"C": (5, 2, 2)}, r"C has shape \(5, 2, 2\): must be \(5, 2, 3\)"),
    "D": ({"D": (1,)}, r"D has shape \(1,\): must be \(4,\)"),
    "gate": ({"gate": (5, 2, 3)}, "gate has shape"),
    "state": ({"state": (2, 3, 4)}, r"state has shape \(2, 3, 4\): must be \(2, 4, 3\)"),
}
GOOD = {"x": (5, 2, 4), "delta": (5, 2, 4), "A": (4, 3), "B": (5, 2, 3), "C": (5, 2, 3)}


@pytest.mark.parametrize("case", BAD)
def test_shapes_that_disagree_are_refused(case):
    shapes, message = BAD[case]
    arrays = {name: jnp.zeros(shape) for name, shape in (GOOD | shapes).items()}
    with pytest.raises(ValueError, match=message):
        selective_scan(**arrays)


def test_numbers_and_names_that_make_no_scan_are_refused():
    good = {name: jnp.zeros(shape) for name, shape in GOOD.items()}
    with pytest.raises(ValueError, match=r"A\[2, 1\] is 0.5: must be at most 0"):
        selective_scan(**good | {"A": good["A"].at[2, 1].set(0.5)})
    with pytest.raises(ValueError, match=r"A\[0, 0\] is nan"):
        selective_scan(**good | {"A": good["A"].at[0, 0].set(jnp.nan)})
    with pytest.raises(ValueError, match=r"delta\[4, 1, 3\] is -1.0: must be at least 0"):
        selective_scan(**good | {"delta": good["delta"].at[4, 1, 3].set(-1.0)})
    with pytest.raises(ValueError, match="start has shape"):
        selective_scan(**good, start=jnp.zeros((5, 3), bool))
    with pytest.raises(ValueError, match="discretization is 'tustin': must be one of zoh, euler"):
        selective_scan(**good, discretization="tustin")
    with pytest.raises(ValueError, match="form is 'cuda': must be one of auto, loops, chunks, kernel, associative"):
        selective_scan(**good, form="cuda")
    one = {name: x[0] if name != "A" else x for name, x in good.items()}
    with pytest.raises(ValueError, match=r"A\[2, 1\] is 0.5"):
        selective_step(**one | {"A": good["A"].at[2, 1].set(0.5)})


def test_a_positive_a_is_refused_in_a_running_program():
    good = {name: jnp.zeros(shape) for name, shape in GOOD.items()}
    run = eqx.filter_jit(lambda A: selective_step(**{n: x[0] for n, x in good.items() if n != "A"}, A=A))
    run(good["A"])
    with pytest.raises(eqx.EquinoxRuntimeError, match="must be at most 0"):
        run(good["A"] + 1.0)
