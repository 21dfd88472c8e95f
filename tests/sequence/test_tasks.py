"""Tasks, stacks and their training: every target against NumPy, every refusal, and what small ones learn."""

import codecs
import contextlib
import functools
import gzip
import importlib.util
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suasion.sequence import (
    CORES,
    LSTM,
    Architecture,
    Digits,
    Induction,
    Recipe,
    Sampling,
    SelectiveCopying,
    Stack,
    Text,
    begin,
    improve,
    score,
    write,
)
from suasion.sequence._tasks import LONGEST
from suasion.sequence._train import decayed

SMALL = SelectiveCopying(tokens=3, copied=2, positions=9)


def zen():
    """The text that every Python carries; importing it prints it."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    return codecs.decode(this.s, "rot13")


drawn = jax.jit(lambda task, key, batch: task.draw(key, batch), static_argnums=2)
held_out = jax.jit(lambda task: task.held_out())


def draw(task, seed, batch):
    """A batch in NumPy."""
    return tuple(np.asarray(each) for each in drawn(task, jax.random.key(seed), batch))


def held(task):
    """What is held out, in NumPy."""
    return tuple(np.asarray(each) for each in held_out(task))


# Data


@pytest.mark.parametrize("task", [SMALL, SelectiveCopying(), SelectiveCopying(tokens=2, copied=3, positions=3)])
def test_selective_copying_asks_for_the_tokens_in_their_order(task):
    u, target, asked = draw(task, 1, 300)
    assert u.shape == target.shape == asked.shape == (task.positions + task.copied, 300)
    for column in range(300):
        shown, question = u[: task.positions, column], u[task.positions :, column]
        found = [symbol for symbol in shown if symbol < task.tokens]
        assert len(found) == task.copied
        assert set(shown) <= set(range(task.tokens + 1))
        assert (question == task.tokens + 1).all()
        assert target[task.positions :, column].tolist() == found
    assert (target[: task.positions] == 0).all()
    assert asked.sum() == 300 * task.copied
    assert asked[task.positions :].all()
    assert (task.inputs, task.classes, task.length) == (task.tokens + 2, task.tokens, len(u))


def test_places_and_tokens_are_uniform():
    """Chi-square with 8 and 2 degrees of freedom; at these bounds one seed in ten thousand would cry wolf."""
    u, target, _ = draw(SMALL, 2, 9000)
    places = (u[:9] < 3).sum(1)
    # 2 of 9 places without replacement: the variance of a count is 8/9 of the multinomial's.
    assert ((places - 2000) ** 2 / 2000).sum() * 9 / 7 < 31.8
    for row in target[9:]:
        assert ((np.bincount(row, minlength=3) - 3000) ** 2 / 3000).sum() < 18.5


def test_induction_asks_for_what_followed_the_mark():
    task = Induction(ordinary=5, steps=12)
    u, target, asked = draw(task, 3, 2000)
    assert u.shape == (12, 2000)
    first = np.empty(2000, int)
    for column in range(2000):
        marks = np.flatnonzero(u[:, column] == 5)
        assert len(marks) == 2
        assert marks[1] == 11
        first[column] = marks[0]
        assert target[11, column] == u[marks[0] + 1, column] < 5
    assert set(first) == set(range(10))
    assert asked[11].all()
    assert not asked[:11].any()
    assert (target[:11] == 0).all()
    assert (task.inputs, task.classes, task.length) == (6, 5, 12)


@pytest.mark.parametrize(
    "task", [SMALL, Induction(ordinary=4, steps=8), Text.of(zen(), window=10)], ids=lambda t: t.to_json()["name"]
)
def test_data_are_functions_of_the_key(task):
    one, again, other = (draw(task, seed, 40) for seed in (7, 7, 8))
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == c.shape
    for a, b in zip(held(task), held(task), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one[0] != other[0]).any()
    assert len({tuple(column) for seed in range(10) for column in draw(task, seed, 40)[0].T}) > 200


def test_text_asks_for_the_next_character_and_holds_out_the_end():
    text = zen()
    task = Text.of(text, window=10)
    assert task.alphabet.characters == "".join(sorted(set(text)))
    learned, last = text[: -(len(text) // 10)], text[-(len(text) // 10) :]
    assert task.alphabet.decode(task.learned) == learned
    u, target, asked = draw(task, 0, 500)
    assert asked.all()
    for column in range(500):
        window = task.alphabet.decode(u[:, column])
        assert window in learned
        assert window[1:] + task.alphabet.decode(target[-1:, column]) in learned
        np.testing.assert_array_equal(target[:-1, column], u[1:, column])
    u, target, _ = held(task)
    assert u.shape == (10, (len(last) - 1) // 10)
    for column in range(u.shape[1]):
        assert task.alphabet.decode(u[:, column]) == last[10 * column : 10 * column + 10]
        assert task.alphabet.decode(target[:, column]) == last[10 * column + 1 : 10 * column + 11]


def test_every_window_of_a_text_is_drawn():
    task = Text.of("abcdefghij" * 2 + "kl", window=1)
    u, target, _ = draw(task, 0, 400)
    pairs = set(zip(u[0].tolist(), target[0].tolist(), strict=True))
    text = np.asarray(task.learned)
    assert pairs == set(zip(text[:-1].tolist(), text[1:].tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty"),
        ("aaaa" * 100, "one kind of character only, 'a'"),
        ("ab" * 50, "has 100 characters: its last tenth, which is held out, must be longer than a window of 10"),
        ("a\ud800" * 100, "character 1 is a lone surrogate"),
        ("".join(map(chr, range(5000))), "5,000 kinds of characters: must be at most 4,096"),
    ],
)
def test_texts_without_a_task(text, words):
    with pytest.raises(ValueError, match=words):
        Text.of(text, window=10)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return rng.integers(0, 17, (23, 64)), rng.integers(0, 10, 23)


def lines(ink, digit):
    return "\n".join(",".join(map(str, [*row, label])) for row, label in zip(ink.tolist(), digit.tolist(), strict=True))


def test_digits_are_read_pixel_by_pixel(pictures, tmp_path):
    ink, digit = pictures
    (tmp_path / "digits.csv").write_text(lines(ink, digit))
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(lines(ink, digit).encode()))
    task, packed = Digits.read(tmp_path / "digits.csv"), Digits.read(tmp_path / "digits.csv.gz")
    assert task.to_json() == packed.to_json()
    known = {tuple(row): label for row, label in zip((ink / 16).tolist(), digit.tolist(), strict=True)}
    seen = []
    for u, target, asked in (draw(task, 0, 200), held(task)):
        assert u.shape == (64, target.shape[1], 1)
        assert asked.sum(0).tolist() == asked[-1].tolist()
        for column in range(u.shape[1]):
            assert known[tuple(u[:, column, 0].tolist())] == target[-1, column]
        seen.append({tuple(u[:, column, 0].tolist()) for column in range(u.shape[1])})
    assert not seen[0] & seen[1]
    assert (len(seen[0]), len(seen[1])) == (18, 5)  # together all
    np.testing.assert_array_equal(task.held, packed.held)


def test_the_digits_of_scikit_learn():
    if importlib.util.find_spec("sklearn") is None:
        with pytest.raises(ValueError, match="scikit-learn, which is not installed: install scikit-learn, or name"):
            Digits.read()
        pytest.skip("scikit-learn is not installed: its digits are not read")
    task = Digits.read()
    counts = np.bincount(np.concatenate([task.labels, task.held_labels]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"1,2,3\n", "3 columns: must be 64 pixels and a digit"),
        (b"one,two\n", "could not convert string 'one' to float"),
        (b"\xff\xfe", "can't decode byte 0xff"),
        (",".join(["17"] + ["0"] * 64).encode(), "picture 1: 17 in column 1 is not a pixel"),
        (",".join(["0"] * 64 + ["10"]).encode(), "picture 1: 10 in column 65 is not a digit"),
        (",".join(["0.5"] + ["0"] * 64).encode(), "picture 1: 0.5 in column 1 is not a pixel"),
        (",".join(["0"] * 65).encode(), "1 pictures: at least 10 are needed"),
    ],
)
def test_files_without_digits(content, words, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        Digits.read(path)
    (tmp_path / "x.gz").write_bytes(content or b"no")
    with pytest.raises(ValueError, match="gzip"):
        Digits.read(tmp_path / "x.gz")
    with pytest.raises(ValueError, match="cannot be opened"):
        Digits.read(tmp_path / "none.csv")


def test_a_gzip_file_that_unpacks_to_too_much(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(2**24 + 1)))
    with pytest.raises(ValueError, match="more than 16,777,216 bytes when unpacked"):
        Digits.read(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SelectiveCopying(tokens=1), "tokens is 1: must be at least 2"),
        (lambda: SelectiveCopying(copied=0), "copied is 0: must be at least 1"),
        (lambda: SelectiveCopying(copied=5, positions=4), "positions is 4: 5 tokens need at least as many"),
        (lambda: SelectiveCopying(positions=LONGEST), "65,540 steps: must be at most 65,536"),
        (lambda: Induction(ordinary=1), "ordinary is 1: must be at least 2"),
        (lambda: Induction(steps=2), "steps is 2: must be at least 3"),
        (lambda: Induction(steps=LONGEST + 1), "65,537 steps: must be at most 65,536"),
        (lambda: Text.of("ab", window=0), "window is 0: must be at least 1"),
        (lambda: Text.of("ab", window=LONGEST + 1), "65,537 steps: must be at most 65,536"),
        (lambda: Architecture(core="transformer"), "core is 'transformer': must be one of mamba, s4d, diagonal, lstm"),
        (lambda: Architecture(width=0), "width is 0"),
        (lambda: Architecture(layers=0), "layers is 0"),
        (lambda: Recipe(steps=0), "steps is 0"),
        (lambda: Recipe(batch=0), "batch is 0"),
        (lambda: Recipe(steps=10, warmup=10), "warmup is 10: must be below the 10 steps"),
        (lambda: Recipe(warmup=-1), "warmup is -1"),
        (lambda: Recipe(learning_rate=0.0), "learning_rate is 0.0"),
        (lambda: Recipe(learning_rate=float("nan")), "learning_rate is nan"),
        (lambda: Recipe(clip=float("inf")), "clip is inf"),
        (lambda: Recipe(weight_decay=-0.1), "weight_decay is -0.1"),
    ],
)
def test_bad_numbers_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Layers and stacks


def lstm_in_numpy(layer, x, start):
    """The equations, step by step."""
    W, U, b = (np.asarray(part, float) for part in (layer.inward, layer.recurrent, layer.bias))
    h, c = np.zeros((2, x.shape[1], x.shape[2]))
    out = []
    for x_t, start_t in zip(x, start, strict=True):
        h, c = (np.where(start_t[:, None], 0.0, part) for part in (h, c))
        i, f, g, o = np.split(x_t @ W + h @ U + b, 4, axis=-1)
        sigmoid = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def test_lstm_by_its_equations(quick, perturbed, assert_close):
    layer = perturbed(LSTM.init(jax.random.key(0), width=3), 1)
    rng = np.random.default_rng(2)
    x, start = rng.normal(size=(11, 2, 3)), rng.random((11, 2)) < 0.2
    assert start[1:].any()
    run = quick(lambda layer, memory, x, start: layer.scan(memory, x, start))
    memory, y = run(layer, layer.initial(2), jnp.float32(x), jnp.asarray(start))
    assert_close(y, lstm_in_numpy(layer, x, start), 1e-6)
    assert_close(memory.output, y[-1], 0.0)
    before, first = run(layer, layer.initial(2), jnp.float32(x[:4]), jnp.asarray(start[:4]))
    _, rest = run(layer, before, jnp.float32(x[4:]), jnp.asarray(start[4:]))
    assert_close(jnp.concatenate([first, rest]), y, 1e-6)
    stepped, each = layer.initial(2), []
    for x_t, start_t in zip(jnp.float32(x), jnp.asarray(start), strict=True):
        stepped, y_t = layer.step(stepped, x_t, start_t)
        each.append(y_t)
    assert_close(jnp.stack(each), y, 1e-6)
    assert_close(stepped, memory, 1e-6)
    no_start = run(layer, layer.initial(2), jnp.float32(x), None)[1]
    assert_close(no_start, lstm_in_numpy(layer, x, np.zeros_like(start)), 1e-6)


@pytest.mark.parametrize("core", ["diagonal", "lstm"])
@pytest.mark.parametrize("symbols", [True, False])
def test_a_stack_is_its_parts(core, symbols, quick, perturbed, assert_close):
    made = Architecture(core=core, width=4, layers=2)
    stack = perturbed(Stack.init(jax.random.key(0), made, inputs=3, classes=5, symbols=symbols), 3)
    rng = np.random.default_rng(1)
    number = rng.integers(0, 3, (7, 2))
    u = jnp.asarray(number) if symbols else jnp.asarray(rng.normal(size=(7, 2, 3)), jnp.float32)
    memory, scores = quick(lambda stack, memory, u: stack.scan(memory, u))(stack, stack.initial(2), u)
    x = (
        np.eye(3)[number] @ np.asarray(stack.inward)
        if symbols
        else np.asarray(u @ stack.inward) + np.asarray(stack.inward_bias)
    )
    kept = []
    for block in stack.blocks:
        after, x = block.scan(block.initial(2), jnp.float32(x))
        kept.append(after)
    x = np.asarray(x, float)
    normal = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * np.asarray(stack.norm.weight)
    assert_close(scores, normal @ np.asarray(stack.outward) + np.asarray(stack.outward_bias), 1e-5)
    assert_close(memory, tuple(kept), 1e-6)
    stepped, step = stack.initial(2), quick(lambda stack, memory, u: stack.step(memory, u))
    for t in range(7):
        stepped, each = step(stack, stepped, u[t])
        assert_close(each, scores[t], 1e-6)
    assert_close(stepped, memory, 1e-6)


def test_symbols_that_there_are_not():
    stack = Stack.init(jax.random.key(0), Architecture(core="diagonal", width=2, layers=1), inputs=3, classes=3)
    for bad in (-1, 3):
        with pytest.raises(ValueError, match=rf"u\[1, 0\] is {bad}: must be within 0 and 2"):
            stack.scan(stack.initial(1), jnp.array([[0], [bad]]))
        with pytest.raises(ValueError, match=rf"u\[0, 0\] is {bad}"):
            write(jax.random.key(0), stack, jnp.array([[bad]]), 3)
    with pytest.raises(ValueError, match="inputs is 0"):
        Stack.init(jax.random.key(0), Architecture(), inputs=0, classes=3)


# Training


def test_the_schedule_rises_and_falls():
    rate = Recipe(steps=100, warmup=20, learning_rate=0.5).schedule
    expected = [0.5 * n / 20 if n < 20 else 0.25 * (1 + np.cos(np.pi * (n - 20) / 80)) for n in range(101)]
    np.testing.assert_allclose([rate(n) for n in range(101)], expected, atol=1e-6)
    assert float(Recipe(warmup=0, learning_rate=0.5).schedule(0)) == 0.5


@pytest.mark.parametrize("core", CORES)
def test_what_decays(core, quick):
    make = functools.partial(Stack.init, architecture=Architecture(core=core, width=4, layers=1), inputs=3, classes=3)
    stack = quick(make)(jax.random.key(0))
    spared = {"mamba": {"A_log"}, "s4d": {"log_decay", "frequency"}}.get(core, set())
    recipe = Recipe(steps=10, warmup=0, learning_rate=0.1, weight_decay=0.5)
    zero = jax.tree.map(jnp.zeros_like, stack)
    changes, _ = recipe.optimiser.update(zero, recipe.optimiser.init(stack), stack)
    leaves = jax.tree_util.tree_flatten_with_path((stack, changes, decayed(stack)))[0]
    third = len(leaves) // 3
    found = set()
    for (path, leaf), (_, change), (_, flag) in zip(
        leaves[:third], leaves[third : 2 * third], leaves[-third:], strict=True
    ):
        names = {getattr(part, "name", None) for part in path}
        expected = leaf.ndim >= 2 and not names & spared
        found |= names & spared
        assert flag == expected, path
        np.testing.assert_allclose(change, -0.05 * leaf if expected else np.zeros_like(leaf), rtol=1e-6)
    assert found == spared


def test_an_update_by_hand(quick):
    """Loss and accuracy by NumPy, a gradient by a difference; the first step of Adam is the rate, by the sign."""
    made, recipe = Architecture(core="diagonal", width=3, layers=1), Recipe(steps=5, warmup=0, weight_decay=0.0)
    learner = quick(begin, static_argnums=(0, 2))(made, SMALL, recipe, jax.random.key(4))
    after, told = quick(improve, static_argnums=0)(recipe, SMALL, learner)
    batch = drawn(SMALL, jax.random.fold_in(learner.key, 0), recipe.batch)
    judge = quick(score)

    def by_numpy(model):
        _, scores = model.scan(model.initial(recipe.batch), batch.u)
        scores, asked, target = np.asarray(scores, float), np.asarray(batch.asked), np.asarray(batch.target)
        right = np.take_along_axis(scores, target[..., None], -1)[..., 0]
        loss = np.log(np.exp(scores).sum(-1)) - right
        return loss[asked].mean(), (scores.argmax(-1) == target)[asked].mean()

    loss, accuracy = by_numpy(learner.model)
    assert float(told["loss"]) == pytest.approx(loss, abs=1e-6)
    assert float(told["accuracy"]) == pytest.approx(accuracy, abs=1e-6)
    assert tuple(map(float, judge(learner.model, batch))) == pytest.approx((loss, accuracy), abs=1e-6)
    gradient = quick(jax.grad(lambda model: score(model, batch)[0]))(learner.model)
    norm = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient)))
    assert float(told["gradient"]) == pytest.approx(norm, rel=1e-5)
    # One number of the head, by a difference; the rest by the sign of Adam's first step.
    slope = [float(judge(learner.model.__class__(**fields(learner.model, d)), batch)[0]) for d in (-1e-2, 1e-2)]
    assert float(gradient.outward[0, 0]) == pytest.approx((slope[1] - slope[0]) / 2e-2, abs=1e-4)
    change = np.asarray(after.model.outward - learner.model.outward)
    np.testing.assert_allclose(change, -recipe.learning_rate * np.sign(gradient.outward), rtol=1e-2)
    assert int(after.updates) == 1
    assert float(told["learning_rate"]) == np.float32(recipe.learning_rate)


def fields(stack, difference):
    """Of a stack, with one number of the head moved."""
    kept = {name: getattr(stack, name) for name in stack.__dataclass_fields__}
    return kept | {"outward": stack.outward.at[0, 0].add(difference)}


@pytest.mark.parametrize("core", ["diagonal", "lstm"])
def test_small_tasks_are_learned(core):
    """From chance (1/2, 1/3) to more than 95 % of what was never seen."""
    task = SelectiveCopying(tokens=2, copied=1, positions=6) if core == "lstm" else Induction(ordinary=3, steps=5)
    made, recipe = Architecture(core=core, width=16, layers=2), Recipe(steps=300, warmup=10, learning_rate=0.02)
    learner = jax.jit(begin, static_argnums=(0, 2))(made, task, recipe, jax.random.key(0))
    update, judge, held = jax.jit(improve, static_argnums=0), jax.jit(score), held_out(task)
    assert float(judge(learner.model, held)[1]) < 0.7
    for _ in range(recipe.steps):
        learner, _ = update(recipe, task, learner)
    loss, accuracy = judge(learner.model, held)
    assert accuracy > 0.95
    assert loss < 0.2


def test_writing_reads_what_it_has_drawn(quick):
    made = Architecture(core="diagonal", width=4, layers=1)
    stack = Stack.init(jax.random.key(0), made, inputs=5, classes=5)
    prompt = jnp.array([[0, 3], [4, 1]])
    found = np.asarray(write(jax.random.key(1), stack, prompt, 6, Sampling(temperature=0.0)))
    assert found.shape == (6, 2)
    text, run = np.asarray(prompt), quick(lambda stack, u: stack.scan(stack.initial(2), u)[1])
    for now in found:
        np.testing.assert_array_equal(now, np.asarray(run(stack, jnp.asarray(text)))[-1].argmax(-1))
        text = np.concatenate([text, now[None]])
    one, again, other = (np.asarray(write(jax.random.key(k), stack, prompt, 6)) for k in (2, 2, 3))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    with pytest.raises(ValueError, match="length is 0"):
        write(jax.random.key(0), stack, prompt, 0)
    with pytest.raises(ValueError, match="the head has shape"):
        write(jax.random.key(0), Stack.init(jax.random.key(0), made, inputs=5, classes=4), prompt, 1)
    with pytest.raises(ValueError, match="no steps"):
        write(jax.random.key(0), stack, prompt[:0], 1)
