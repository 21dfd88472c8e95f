"""The language model: one set of numbers in every form; drawing against its definition; text as tokens."""

import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suasion.records import RecordError
from suasion.sequence import (
    Bytes,
    Characters,
    MambaLM,
    MambaLMConfig,
    Sampling,
    generate,
    load_tokenizer,
    prefill,
    sample,
)
from suasion.sequence._generate import _Cut, pieces

V, T, B = 13, 21, 2
CONFIG = MambaLMConfig(vocabulary=V, width=8, layers=2, states=3, longest=40)
GREEDY = Sampling(temperature=0.0)


class Subject:
    """A model with random weights, tokens, a memory that is not zero, and its verbs compiled once."""

    def __init__(self, quick, perturbed):
        self.model = perturbed(quick(lambda key: MambaLM.init(key, CONFIG))(jax.random.key(0)), 1)
        self.memory = perturbed(self.model.initial(B), 2)
        rng = np.random.default_rng(3)
        self.tokens = jnp.asarray(rng.integers(0, V, (T, B)), jnp.int32)
        self.start = jnp.asarray(rng.random((T, B)) < 0.15).at[9].set(True)
        self.scan = quick(lambda model, *args: model.scan(*args))
        self.step = quick(lambda model, *args: model.step(*args))


@pytest.fixture(scope="module")
def subject(quick, perturbed):
    return Subject(quick, perturbed)


@pytest.mark.parametrize("started", [True, False])
def test_scan_is_step_repeated(started, subject, assert_close):
    memory, rows = subject.memory, []
    start = subject.start if started else None
    for t in range(T):
        memory, logits = subject.step(subject.model, memory, subject.tokens[t], start[t] if started else None)
        rows.append(logits)
    found = subject.scan(subject.model, subject.memory, subject.tokens, start)
    assert found[1].shape == (T, B, V)
    assert_close(found, (memory, jnp.stack(rows)), 2e-6)


def test_the_logits_are_their_equation(subject, assert_close):
    """Embedding, the blocks' own scans, norm and the embedding again, in NumPy; and with a head of its own."""
    model = subject.model
    h = np.asarray(model.embedding)[np.asarray(subject.tokens)]
    for block, memory in zip(model.blocks, subject.memory, strict=True):
        h = block.scan(memory, jnp.asarray(h))[1]
    h = np.asarray(h, float)
    normed = h / np.sqrt((h**2).mean(-1, keepdims=True) + CONFIG.epsilon) * np.asarray(model.norm.weight)
    logits = normed @ np.asarray(model.embedding, float).T
    assert_close(subject.scan(model, subject.memory, subject.tokens)[1], logits, 2e-6)
    untied = MambaLM(model.embedding, model.blocks, model.norm, 2 * model.embedding.T, model.config)
    assert_close(subject.scan(untied, subject.memory, subject.tokens)[1], 2 * logits, 2e-6)


def test_a_text_may_be_cut_anywhere(subject, assert_close):
    for start in (subject.start, None):
        whole = subject.scan(subject.model, subject.memory, subject.tokens, start)
        for k in (1, 8):
            cut = lambda part, start=start: None if start is None else start[part]  # noqa: E731
            memory, first = subject.scan(subject.model, subject.memory, subject.tokens[:k], cut(slice(k)))
            memory, rest = subject.scan(subject.model, memory, subject.tokens[k:], cut(slice(k, None)))
            assert_close((memory, jnp.concatenate([first, rest])), whole, 2e-6)


def test_a_new_text_knows_nothing_of_the_last(subject, assert_close):
    _, logits = subject.scan(subject.model, subject.memory, subject.tokens, subject.start)
    start = subject.start.at[9:].get()
    _, alone = subject.scan(subject.model, subject.model.initial(B), subject.tokens[9:], start)
    assert_close(logits[9:], alone, 2e-6)


@pytest.mark.parametrize("chunk", [1, 2, 7, 8, 21, 100])
def test_a_prompt_may_be_read_in_any_pieces(chunk, subject, assert_close):
    memory, logits = subject.scan(subject.model, subject.memory, subject.tokens)
    found = prefill(subject.model, subject.tokens, memory=subject.memory, chunk=chunk)
    assert_close(found, (memory, logits[-1]), 2e-6)


@given(st.integers(1, 10_000), st.integers(1, 600))
def test_pieces_add_up_and_have_few_sizes(length, chunk):
    sizes = list(pieces(length, chunk))
    assert sum(sizes) == length
    assert all(0 < size <= chunk for size in sizes)
    assert all(size == chunk or size.bit_count() == 1 for size in sizes)
    assert len(set(sizes)) <= 1 + chunk.bit_length()
    assert sizes == sorted(sizes, reverse=True)


def test_greedy_generation_is_the_likeliest_token_of_a_full_pass_each_time(subject):
    found = generate(subject.model, subject.tokens, 6, sampling=GREEDY, memory=subject.memory, chunk=8)
    text = np.asarray(subject.tokens)
    for _ in range(6):
        memory, rows = subject.memory, None
        for row in text:  # one compiled step, for texts of any length
            memory, rows = subject.step(subject.model, memory, jnp.asarray(row))
        text = np.concatenate([text, np.asarray(rows).argmax(-1)[None].astype(np.int32)])
    np.testing.assert_array_equal(found.tokens, text[T:])
    assert found.tokens.dtype == jnp.int32


def test_generation_is_a_function_of_the_key_and_may_go_on(subject):
    run = lambda key, n=6, **more: generate(  # noqa: E731
        subject.model, subject.tokens, n, key=jax.random.key(key), memory=subject.memory, chunk=8, **more
    )
    found = run(4)
    np.testing.assert_array_equal(found.tokens, run(4).tokens)
    np.testing.assert_array_equal(found.tokens[:5], run(4, 5).tokens)
    assert (np.asarray(found.tokens) != np.asarray(run(5).tokens)).any()
    one_by_one = run(4, 1, sampling=GREEDY)
    text = [one_by_one.tokens]
    for _ in range(5):
        one_by_one = generate(subject.model, text[-1], 1, memory=one_by_one.memory, sampling=GREEDY)
        text.append(one_by_one.tokens)
    np.testing.assert_array_equal(np.concatenate(text), run(4, sampling=GREEDY).tokens)


def test_sampling_of_one_token_is_greedy(subject):
    likeliest = generate(subject.model, subject.tokens, 6, sampling=GREEDY, chunk=8).tokens
    for sampling in (Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(temperature=1e-5)):
        found = generate(subject.model, subject.tokens, 6, key=jax.random.key(0), sampling=sampling, chunk=8)
        np.testing.assert_array_equal(found.tokens, likeliest)


def by_definition(logits, sampling):
    """Probabilities after temperature, top-k and top-p, one token after the other, in float64."""
    p = np.exp(np.asarray(logits, float) / sampling.temperature - np.max(logits) / sampling.temperature)
    order = sorted(range(len(p)), key=lambda token: (-p[token], token))
    order = order[: sampling.top_k]
    p /= p[order].sum()
    if sampling.top_p is not None:
        kept, mass = [], 0.0
        for token in order:
            if mass >= sampling.top_p:
                break
            kept.append(token)
            mass += p[token]
        order = kept
    found = np.zeros(len(p))
    found[order] = p[order] / p[order].sum()
    return found


RULES = [
    Sampling(),
    Sampling(temperature=0.4),
    Sampling(temperature=3.0),
    Sampling(top_k=4),
    Sampling(top_p=0.8),
    Sampling(top_p=1.0),
    Sampling(temperature=1.7, top_k=6, top_p=0.65),
]
ROWS = np.random.default_rng(5).normal(size=(4, V)).astype(np.float32) * 2
ROWS[1, 3:7] = ROWS[1].max() + 1  # equal ones, across a cut


@pytest.mark.parametrize("sampling", RULES, ids=str)
def test_what_is_kept_and_its_probabilities(sampling):
    kept, tokens = _Cut.of(sampling).kept(jnp.asarray(ROWS))
    found = np.zeros(ROWS.shape)
    places = np.tile(np.arange(V), (4, 1)) if tokens is None else np.asarray(tokens)
    np.put_along_axis(found, places, np.asarray(jax.nn.softmax(kept, -1), float), -1)
    expected = np.stack([by_definition(row, sampling) for row in ROWS])
    np.testing.assert_array_equal(found > 0, expected > 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampling", RULES, ids=str)
def test_draws_have_these_probabilities(sampling):
    """Pearson's statistic of 20,000 draws of each row; false alarm in 1e-6 of keys, by its chi-squared limit."""
    from scipy.stats import chi2

    draws = 20_000
    many = jnp.asarray(np.repeat(ROWS, draws, 0))
    tokens = np.asarray(sample(jax.random.key(6), many, sampling)).reshape(4, draws)
    for row, drawn in zip(ROWS, tokens, strict=True):
        p = by_definition(row, sampling)
        count = np.bincount(drawn, minlength=V)
        assert count[p == 0].sum() == 0
        common = p * draws >= 10  # the rest is one class
        expected = np.append(p[common], p[~common].sum()) * draws
        seen = np.append(count[common], count[~common].sum())
        some = expected >= 5
        statistic = ((seen - expected)[some] ** 2 / expected[some]).sum()
        assert statistic <= chi2.isf(1e-6 / (4 * len(RULES)), max(1, some.sum() - 1))


def test_generated_tokens_have_the_models_probabilities(subject):
    """20,000 texts of one prompt: the first two tokens against the model's own joint law; false alarm in 1e-6."""
    from scipy.stats import chi2

    many = 20_000
    prompt = subject.tokens[:3, :1]
    found = generate(subject.model, jnp.tile(prompt, (1, many)), 2, key=jax.random.key(7), chunk=4).tokens
    every = jnp.concatenate([jnp.tile(prompt, (1, V)), jnp.arange(V, dtype=jnp.int32)[None]])
    _, logits = subject.scan(subject.model, subject.model.initial(V), every)
    first, second = (np.asarray(jax.nn.softmax(x, -1), float) for x in (logits[2, 0], logits[3]))
    joint = first[:, None] * second
    count = np.zeros((V, V))
    np.add.at(count, tuple(np.asarray(found)), 1)
    common = joint * many >= 10
    expected = np.append(joint[common], joint[~common].sum()) * many
    seen = np.append(count[common], count[~common].sum())
    assert ((seen - expected) ** 2 / expected).sum() <= chi2.isf(1e-6, len(expected) - 1)


def test_the_loop_is_compiled_once_for_all_temperatures(subject, monkeypatch):
    """A step is traced only where something is compiled."""
    traced, step = [], MambaLM.step

    def watched(*args):
        traced.append(1)
        return step(*args)

    def run(**sampling):
        generate(subject.model, subject.tokens[:8], 6, key=jax.random.key(0), sampling=Sampling(**sampling))

    run(temperature=1.0, top_p=0.5)
    monkeypatch.setattr(MambaLM, "step", watched)
    run(temperature=0.7, top_p=0.9)
    assert not traced
    run(temperature=0.7, top_k=3)
    assert traced


def test_tokens_that_are_none_are_refused(subject):
    model, tokens, memory = subject.model, subject.tokens, subject.memory
    low, high = tokens.at[2, 1].set(-1), tokens.at[3, 0].set(V)
    for wrong, reason in (
        (tokens[:0], r"has shape \(0, 2\): no steps"),
        (tokens[:, :0], r"has shape \(21, 0\): no sequences"),
        (tokens[0], r"has shape \(2,\): must be \[steps, sequences\]"),
        (low, r"\[2, 1\] is -1: must be at least 0 and below 13"),
        (high, r"\[3, 0\] is 13: must be at least 0 and below 13"),
        (jnp.tile(tokens, (2, 1)), "has 42 steps: must be at most 40"),
    ):
        with pytest.raises(ValueError, match="tokens " + reason if reason[0] != "\\" else "tokens" + reason):
            model.scan(memory, wrong)
        with pytest.raises(ValueError, match=f"prompt ?{reason}"):
            generate(model, wrong, 3, key=jax.random.key(0))
        with pytest.raises(ValueError, match=f"prompt ?{reason}"):
            prefill(model, wrong)
    with pytest.raises(ValueError, match=r"token\[1\] is -1"):
        model.step(memory, low[2])
    with pytest.raises(ValueError, match=r"start has shape \(20, 2\)"):
        model.scan(memory, tokens, subject.start[1:])


def test_a_wrong_token_under_jit_is_nan_from_there_on(subject):
    for token in (-1, V, 10**6):
        wrong = subject.tokens.at[4, 1].set(token)
        _, logits = subject.scan(subject.model, subject.memory, wrong)
        expected = np.zeros((T, B), bool)
        expected[4:, 1] = True
        np.testing.assert_array_equal(np.isnan(logits).all(-1), expected)
        np.testing.assert_array_equal(np.isnan(logits).any(-1), expected)


def test_memories_of_another_model_are_refused(subject):
    with pytest.raises(ValueError, match="memory is 1: must be a tuple of 2 memories"):
        subject.model.scan(subject.memory[:1], subject.tokens)
    with pytest.raises(ValueError, match="memory is a list: must be a tuple of 2"):
        subject.model.step([*subject.memory], subject.tokens[0])
    with pytest.raises(ValueError, match=r"memory has shape \(3, 3, 16\): must be \(2, 3, 16\)"):
        generate(subject.model, subject.tokens, 3, memory=subject.model.initial(3), sampling=GREEDY)
    with pytest.raises(ValueError, match=r"memory has shape \(3, 3, 16\): must be \(2, 3, 16\)"):
        subject.model.step(subject.model.initial(3), subject.tokens[0])


def test_what_cannot_be_generated(subject):
    model, tokens, key = subject.model, subject.tokens, jax.random.key(0)
    for more, reason in (
        ({"length": 0}, "length is 0"),
        ({"length": 20}, "a prompt of 21 tokens and 20 more: must be at most 40 together"),
        ({"key": None}, "key is None: needed unless the temperature is 0"),
        ({"sampling": Sampling(top_k=14)}, "top_k is 14: must be at most the vocabulary's 13"),
        ({"chunk": 0}, "chunk is 0"),
    ):
        with pytest.raises(ValueError, match=reason):
            generate(model, tokens, **{"length": 3, "key": key} | more)
    with pytest.raises(ValueError, match="top_k is 14"):
        sample(key, jnp.zeros((1, V)), Sampling(top_k=14))
    spoilt = jax.tree.map(lambda m: m.at[1].set(jnp.nan), subject.memory)
    with pytest.raises(ValueError, match="logits of token 0 after the prompt are not finite"):
        generate(model, tokens, 6, memory=spoilt, sampling=GREEDY, chunk=8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Sampling(temperature=-1.0), "temperature is -1.0: must be 0, or from 1e-06"),
        (lambda: Sampling(temperature=1e-9), "temperature is 1e-09"),
        (lambda: Sampling(temperature=1e7), r"temperature is 10000000.0: must be 0, or from 1e-06 to 1000000.0"),
        (lambda: Sampling(temperature=math.nan), "temperature is nan"),
        (lambda: Sampling(temperature=math.inf), "temperature is inf"),
        (lambda: Sampling(top_k=0), "top_k is 0"),
        (lambda: Sampling(top_p=0.0), "top_p is 0.0: must be above 0"),
        (lambda: Sampling(top_p=1.1), "top_p is 1.1"),
        (lambda: MambaLMConfig(vocabulary=0, width=8, layers=2), "vocabulary is 0"),
        (lambda: MambaLMConfig(vocabulary=3, width=8, layers=0), "layers is 0"),
        (lambda: MambaLMConfig(vocabulary=3, width=8, layers=1, rank=0), "rank is 0"),
        (lambda: MambaLMConfig(vocabulary=3, width=8, layers=1, longest=0), "longest is 0"),
        (lambda: MambaLMConfig(vocabulary=3, width=8, layers=1, discretization="exact"), "discretization is 'exact'"),
        (lambda: MambaLMConfig(vocabulary=3, width=8, layers=1, epsilon=0.0), "epsilon is 0.0"),
    ],
)
def test_numbers_out_of_range_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


def test_a_fresh_model_starts_as_its_paper_says(quick):
    config = MambaLMConfig(vocabulary=200, width=32, layers=4, tied=False)
    model = quick(lambda key: MambaLM.init(key, config))(jax.random.key(8))
    assert config.inner == 64
    assert config.step_rank == 2
    assert 0.018 < float(model.embedding.std()) < 0.022
    assert model.head.shape == (32, 200)
    assert float(jnp.abs(model.blocks[0].mixer.outward).max()) <= 64**-0.5 / 2
    assert float(jnp.abs(model.blocks[0].mixer.outward).max()) > 0.95 * 64**-0.5 / 2
    assert all(block.mixer.discretization == "euler" for block in model.blocks)
    assert quick(lambda key: MambaLM.init(key, CONFIG))(jax.random.key(8)).head is None


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_characters_and_bytes_come_back(text, alphabet):
    characters = Characters.of(alphabet + text)
    tokens = characters.encode(text)
    assert tokens.dtype == np.int32
    assert characters.decode(tokens) == text
    assert characters.characters == "".join(sorted(set(alphabet + text)))
    assert characters.size == len(set(alphabet + text))
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert Bytes().decode(Bytes().encode(text)) == text
        assert len(Bytes().encode(text)) == len(text.encode())


def test_text_that_has_no_tokens_is_refused():
    characters = Characters("abc")
    with pytest.raises(ValueError, match=r"text\[2\] is 'ß': not among the 3 characters"):
        characters.encode("abß")
    with pytest.raises(ValueError, match=r"text\[0\] is 'A'"):
        characters.encode("A")
    for tokens, reason in (
        ([0, 3], r"tokens\[1\] is 3: must be at least 0 and below 3"),
        ([-1], r"tokens\[0\] is -1"),
        ([0.5], r"tokens are float64 of shape \(1,\)"),
        ([[1]], r"tokens are int64 of shape \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=reason):
            characters.decode(np.asarray(tokens))
    with pytest.raises(ValueError, match=r"tokens\[0\] is 256"):
        Bytes().decode(np.array([256]))
    for wrong in ("", "ba", "aa"):
        with pytest.raises(ValueError, match="must be some, in order, each once"):
            Characters(wrong)
    assert Bytes().decode(np.array([0xFF])) == "\ufffd"
    assert Bytes().size == 256


TOKENIZER = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "the": 1, "cat": 2, "sat": 3}, "unk_token": "[UNK]"},
}


def test_without_the_library_there_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"needs the library tokenizers: install suasion\[text\]"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_of_the_library(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.size == 4
    tokens = tokenizer.encode("the cat sat the dog")  # longer than its file allows: not cut
    np.testing.assert_array_equal(tokens, [1, 2, 3, 1, 0])
    assert tokens.dtype == np.int32
    assert tokenizer.decode(tokens) == "the cat sat the [UNK]"
    with pytest.raises(ValueError, match=r"tokens\[0\] is -1"):
        tokenizer.decode(np.array([-1]))
    for content in (b"", b"{", b'{"model":1}', b"\xff", json.dumps(TOKENIZER | {"model": {"type": "X"}}).encode()):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(RecordError, match=r"tokenizer.json: no tokenizer"):
            load_tokenizer(tmp_path)
    with pytest.raises(RecordError, match="cannot be opened"):
        load_tokenizer(tmp_path / "gone")
