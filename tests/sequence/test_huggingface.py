"""Folders of weights: read, written, refused; and where torch and transformers are, their numbers."""

import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from suasion.records import RecordError, write_tensors
from suasion.sequence import MambaLM, MambaLMConfig, read_huggingface, write_huggingface
from suasion.sequence._huggingface import _tensors

SIZES = {"vocabulary": 11, "width": 6, "layers": 2, "states": 3, "rank": 2}
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
BAR = 5e-6  # against transformers


@pytest.fixture(scope="session")
def model(quick, perturbed):
    """A small model with random weights, tied or not."""

    def make(**sizes):
        config = MambaLMConfig(**SIZES | sizes)
        return perturbed(quick(lambda key: MambaLM.init(key, config))(jax.random.key(0)), 1)

    return make


@pytest.fixture
def folder(memory, model):
    """A folder of the small model, tied."""
    write_huggingface(memory / "model", model())
    return memory / "model"


def arrays_of(folder):
    return {name: array.copy() for name, array in safetensors.numpy.load_file(folder / WHOLE).items()}


def rewrite(folder, arrays=None, **config):
    """Other arrays, or other words in its configuration (None: left out)."""
    if arrays is not None:
        write_tensors(folder / WHOLE, arrays, {"format": "pt"})
    said = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({name: value for name, value in said.items() if value != "absent"}))


def assert_same(found, expected):
    assert found.config == expected.config
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("sizes", [{}, {"tied": False, "taps": 3, "expand": 3, "epsilon": 1e-6, "rank": None}])
@pytest.mark.parametrize("shard", [None, 1, 3000])
def test_a_folder_holds_a_model_to_the_bit(memory, model, sizes, shard):
    ours = model(**sizes)
    write_huggingface(memory / "a" / "b", ours, shard=shard)
    found = read_huggingface(memory / "a" / "b")
    assert_same(found, ours)
    write_huggingface(memory / "again", found, shard=shard)
    names = sorted(file.name for file in (memory / "again").iterdir())
    assert names == sorted(file.name for file in (memory / "a" / "b").iterdir())
    assert (INDEX in names) == (shard is not None)
    for name in names:
        assert (memory / "again" / name).read_bytes() == (memory / "a" / "b" / name).read_bytes()
    if shard == 1:
        assert len(names) == 2 + 22 + (not ours.config.tied)  # a file for each tensor, the index, the configuration
    for name in names:
        if shard == 3000 and name.endswith(".safetensors"):
            assert sum(array.nbytes for array in safetensors.numpy.load_file(memory / "again" / name).values()) <= 3000


def test_the_tensors_have_the_published_names_and_shapes(folder, model):
    layer = {
        "norm.weight": (6,),
        "mixer.in_proj.weight": (24, 6),
        "mixer.conv1d.weight": (12, 1, 4),
        "mixer.conv1d.bias": (12,),
        "mixer.x_proj.weight": (8, 12),
        "mixer.dt_proj.weight": (12, 2),
        "mixer.dt_proj.bias": (12,),
        "mixer.A_log": (12, 3),
        "mixer.D": (12,),
        "mixer.out_proj.weight": (6, 12),
    }
    expected = {f"backbone.layers.{n}.{name}": shape for n in range(2) for name, shape in layer.items()}
    expected |= {"backbone.embeddings.weight": (11, 6), "backbone.norm_f.weight": (6,)}
    arrays = arrays_of(folder)
    assert {name: array.shape for name, array in arrays.items()} == expected
    mixer = model().blocks[1].mixer
    np.testing.assert_array_equal(arrays["backbone.layers.1.mixer.in_proj.weight"], mixer.inward.T)
    np.testing.assert_array_equal(arrays["backbone.layers.1.mixer.conv1d.weight"][:, 0], mixer.convolution.weight.T)
    with safetensors.safe_open(folder / WHOLE, "numpy") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_widened(folder, dtype):
    arrays = {name: array.astype(dtype) for name, array in arrays_of(folder).items()}
    safetensors.numpy.save_file(arrays, folder / WHOLE)
    found = read_huggingface(folder)
    assert found.embedding.dtype == jnp.float32
    np.testing.assert_array_equal(found.embedding, arrays["backbone.embeddings.weight"].astype(np.float32))


def test_what_older_files_have(folder, model):
    """Another name of the embedding, the tied head written out, a configuration that says less."""
    arrays = arrays_of(folder)
    arrays["backbone.embedding.weight"] = arrays.pop("backbone.embeddings.weight")
    arrays["lm_head.weight"] = arrays["backbone.embedding.weight"]
    absent = ("hidden_act", "use_bias", "use_conv_bias", "intermediate_size", "tie_word_embeddings", "expand")
    rewrite(folder, arrays, d_model=6, n_layer=2, **dict.fromkeys(absent, "absent"))
    assert_same(read_huggingface(folder), model())
    arrays["lm_head.weight"] = arrays["lm_head.weight"] + 1
    rewrite(folder, arrays)
    with pytest.raises(RecordError, match=r"lm_head.weight differs from backbone.embeddings.weight, .* tied"):
        read_huggingface(folder)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"model_type": "mamba2"}, "model_type is 'mamba2': must be 'mamba'"),
        ({"model_type": "absent"}, "model_type is 'None'"),
        ({"use_bias": True}, "use_bias is 'True': must be False"),
        ({"use_bias": 0}, "use_bias is '0': must be False"),
        ({"use_conv_bias": False}, "use_conv_bias is 'False'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"hidden_size": 0}, "hidden_size is '0': must be a whole number"),
        ({"hidden_size": True}, "hidden_size is 'True'"),
        ({"state_size": 16.0}, "state_size is '16.0'"),
        ({"time_step_rank": "half"}, "time_step_rank is 'half'"),
        ({"intermediate_size": 13}, "intermediate_size is 13: must be 12"),
        ({"layer_norm_epsilon": 0}, "layer_norm_epsilon is '0'"),
        ({"layer_norm_epsilon": None}, "layer_norm_epsilon is 'None'"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is '1'"),
        ({"tie_word_embeddings": False}, "no tensor lm_head.weight"),
        ({"num_hidden_layers": 10**18}, r"no tensor backbone.layers.2.norm.weight, .* and more"),
        ({"num_hidden_layers": 1}, r"not of such a model: backbone.layers.1\..* and more"),
        (
            {"hidden_size": 2**62, "intermediate_size": 2**63},
            r"embeddings.weight has shape \[11, 6\]: must be \[11, 46116",
        ),
        ({"state_size": 4}, r"A_log has shape \[12, 3\]: must be \[12, 4\]"),
        ({"time_step_rank": "auto"}, r"dt_proj.weight has shape \[12, 2\]: must be \[12, 1\]"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(folder, words, reason):
    rewrite(folder, **words)
    with pytest.raises(RecordError, match=reason):
        read_huggingface(folder)


def test_tensors_that_do_not_fit_are_named(folder):
    good = arrays_of(folder)
    name, decay = "backbone.layers.1.mixer.D", "backbone.layers.0.mixer.A_log"
    bad = good[decay].copy()
    head = "lm_head.weight"
    bad[4, 1] = np.nan  # the logarithm of -A, for a positive A
    hot = good[decay].copy()
    hot[0, 2] = 89.0
    for arrays, reason in (
        ({key: array for key, array in good.items() if key != name}, f"no tensor {name}$"),
        (good | {"backbone.extra": np.zeros(1)}, "not of such a model: backbone.extra$"),
        ({"a": np.zeros(1)}, "no tensor backbone.embeddings.weight, .*not of such a model: a$"),
        (
            {key: array for key, array in good.items() if ".layers.0." not in key},
            r"no tensor backbone.layers.0.norm.weight, [^;]* and more$",  # what layer 1 has is not foreign
        ),
        (good | {"backbone.layers.01.mixer.D": good[name]}, "not of such a model: backbone.layers.01.mixer.D$"),
        (good | {name: good[name][:11]}, rf"{name} has shape \[11\]: must be \[12\]"),
        (good | {name: good[name][:, None]}, rf"{name} has shape \[12, 1\]: must be \[12\]"),
        (good | {name: good[name].astype(float)}, f"{name} is of float64: must be of float32"),
        (good | {name: good[name].astype(int)}, f"{name} is of int64"),
        (good | {decay: bad}, rf"{decay}\[4, 1\] is nan: must be finite"),
        (good | {decay: hot}, rf"{decay}\[0, 2\] is 89.0: must be at most 88.0: A is infinite"),
        (good | {head: np.zeros((11, 5), np.float32)}, rf"{head} has shape \[11, 5\]: must be \[11, 6\]"),
    ):
        rewrite(folder, arrays)
        with pytest.raises(RecordError, match=reason) as error:
            read_huggingface(folder)
        assert str(folder) in str(error.value)


def test_a_folder_that_holds_no_such_files(memory, folder):
    (folder / WHOLE).rename(folder / "pytorch_model.bin")
    with pytest.raises(RecordError, match=r"model.safetensors: cannot be opened"):
        read_huggingface(folder)
    (folder / WHOLE).write_bytes(b"\x80\x02ctorch\n" * 20)
    with pytest.raises(RecordError, match="not safetensors"):
        read_huggingface(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(RecordError, match=r"config.json: is a list"):
        read_huggingface(folder)
    with pytest.raises(RecordError, match=r"config.json: cannot be opened"):
        read_huggingface(memory / "gone")


def test_an_index_that_lies_is_refused(memory, model):
    folder = memory / "model"
    write_huggingface(folder, model(), shard=3000)
    good = json.loads((folder / INDEX).read_text())
    size = sum(array.nbytes for array in map(np.asarray, jax.tree.leaves(model())))
    assert good["metadata"] == {"total_size": size}
    places = good["weight_map"]
    name = "backbone.layers.0.mixer.D"
    shutil.copy(folder / places[name], memory / "outside.safetensors")
    other = next(file for file in places.values() if file != places[name])
    for index, reason in (
        ([], "weight_map must be"),
        ({"weight_map": {name: 1}}, "weight_map must be"),
        ({"weight_map": places | {name: "../outside.safetensors"}}, "'../outside.safetensors' is no name"),
        ({"weight_map": places | {name: str(memory / "outside.safetensors")}}, "is no name"),
        ({"weight_map": places | {name: "weights.bin"}}, "'weights.bin' is no name"),
        ({"weight_map": places | {name: "gone.safetensors"}}, "gone.safetensors: cannot be opened"),
        ({"weight_map": places | {name: other}}, f"no tensor {name}, against|has a tensor {name}, against"),
        ({"weight_map": places | {"more": other}}, "no tensor more, against"),
    ):
        (folder / INDEX).write_text(json.dumps(index))
        with pytest.raises(RecordError, match=reason):
            read_huggingface(folder)


def test_what_is_not_written(memory, folder, model):
    with pytest.raises(ValueError, match="discretization is 'zoh'"):
        write_huggingface(memory / "a", model(discretization="zoh"))
    with pytest.raises(ValueError, match="shard is 0"):
        write_huggingface(memory / "a", model(), shard=0)
    with pytest.raises(ValueError, match=r"model: holds config.json"):
        write_huggingface(folder, model())
    other = lambda embedding: eqx.tree_at(lambda model: model.embedding, model(), embedding)  # noqa: E731
    with pytest.raises(ValueError, match=r"backbone.embeddings.weight\[0, 0\] is inf"):
        write_huggingface(memory / "a", other(jnp.full((11, 6), jnp.inf)))
    with pytest.raises(ValueError, match="is of float16: must be of float32"):
        write_huggingface(memory / "a", other(jnp.zeros((11, 6), jnp.float16)))
    assert not (memory / "a").exists()


# Against transformers, on random models: skipped where torch is not.

SMALL = {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "time_step_rank": 2}
OTHER = {"conv_kernel": 3, "expand": 3, "layer_norm_epsilon": 1e-6, "tie_word_embeddings": False}
THEIRS = {
    "tied": {"vocab_size": 50, **SMALL},
    "deeper": {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 4},
    "untied": {"vocab_size": 40, **SMALL, **OTHER},
}


class Theirs:
    """A random model of transformers, its numbers in NumPy, and the folder that it saved."""

    def __init__(self, name, folder):
        self.torch = torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
        torch.manual_seed(0)
        self.model = transformers.MambaForCausalLM(transformers.MambaConfig(**THEIRS[name])).eval()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(0.03 * torch.randn_like(parameter))
        self.tokens = torch.randint(0, THEIRS[name]["vocab_size"], (3, 90))
        self.model.save_pretrained(folder)
        self.folder = folder
        found = self.model(self.tokens, labels=self.tokens)
        found.loss.backward()
        self.logits = found.logits.detach().numpy().swapaxes(0, 1)
        self.gradients = {name: p.grad.numpy() for name, p in self.model.named_parameters()}

    def stepwise(self):
        """Their logits, one token at a time: the first read of a prompt in pieces is at fault in transformers 5."""
        cache, rows = None, []
        with self.torch.no_grad():
            for t in range(self.tokens.shape[1]):
                found = self.model(self.tokens[:, t : t + 1], cache=cache, use_cache=True)
                cache = found.cache
                rows.append(found.logits[:, 0].numpy())
        return np.stack(rows)


@pytest.fixture(scope="module", params=THEIRS)
def theirs(request, tmp_path_factory):
    return Theirs(request.param, tmp_path_factory.mktemp("theirs"))


@pytest.fixture(scope="module")
def ours(theirs):
    return read_huggingface(theirs.folder), jnp.asarray(theirs.tokens.numpy().T)


@pytest.fixture
def told(record_property):
    """Largest differences of this run, for whoever asks pytest for a report."""
    return lambda name, value: record_property(name, f"{value:.1e}")


@pytest.mark.filterwarnings("ignore")
def test_logits_are_theirs(theirs, ours, quick, told):
    model, tokens = ours
    _, logits = quick(lambda model, tokens: model.scan(model.initial(3), tokens))(model, tokens)
    told("full", np.abs(logits - theirs.logits).max())
    np.testing.assert_allclose(logits, theirs.logits, rtol=0, atol=BAR)
    np.testing.assert_allclose(logits, theirs.stepwise(), rtol=0, atol=BAR)


@pytest.mark.filterwarnings("ignore")
def test_gradients_are_theirs(theirs, ours, quick, told):
    model, tokens = ours

    def loss(model):
        _, logits = model.scan(model.initial(3), tokens)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits[:-1], -1), tokens[1:, :, None], -1)
        return -jnp.mean(chosen)

    found = {name: np.asarray(g) for name, g in _tensors(quick(jax.grad(loss))(model)).items()}
    assert found.keys() == theirs.gradients.keys()
    worst = {name: np.abs(found[name] - g).max() / np.abs(g).max() for name, g in theirs.gradients.items()}
    told("gradient", max(worst.values()))
    assert max(worst.values()) <= BAR, max(worst, key=worst.get)


@pytest.mark.filterwarnings("ignore")
def test_steps_and_splits_are_theirs(theirs, ours, quick, told):
    model, tokens = ours
    step, scan = (quick(lambda model, *args, verb=verb: verb(model, *args)) for verb in (MambaLM.step, MambaLM.scan))
    memory, rows = model.initial(3), []
    for t in range(len(tokens)):
        memory, logits = step(model, memory, tokens[t])
        rows.append(logits)
    told("stepwise", np.abs(np.stack(rows) - theirs.logits).max())
    np.testing.assert_allclose(np.stack(rows), theirs.logits, rtol=0, atol=BAR)
    worst = 0.0
    for cut in (1, 37, 89):
        memory, first = scan(model, model.initial(3), tokens[:cut])
        _, second = scan(model, memory, tokens[cut:])
        worst = max(worst, float(np.abs(np.concatenate([first, second]) - theirs.logits).max()))
    told("split", worst)
    assert worst <= BAR


@pytest.mark.filterwarnings("ignore")
def test_they_read_what_is_written(theirs, ours, memory):
    transformers = pytest.importorskip("transformers")
    for shard in (None, 20_000):
        folder = memory / str(shard)
        write_huggingface(folder, ours[0], shard=shard)
        again = transformers.MambaForCausalLM.from_pretrained(folder)
        expected = named(theirs.model)
        found = named(again)
        assert found.keys() == expected.keys()
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
        with theirs.torch.no_grad():
            logits = again.eval()(theirs.tokens).logits.numpy().swapaxes(0, 1)
        np.testing.assert_array_equal(logits, theirs.logits)


def named(model):
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
