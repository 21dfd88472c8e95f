r"""Language models in folders as Hugging Face's transformers has them (`mamba-*-hf`): read and written without it.

A folder holds `config.json` and `model.safetensors`, or several such files and `model.safetensors.index.json`, which
says where each tensor lies. A product's matrix stands there as [outputs, inputs], and `A_log` is $\log(-A)$. Those
weights mean Euler's rule. A tied head is not in the file.

Letters of the shapes: v tokens, d channels, e inner channels, n states, k taps, r rank of the steps.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from suasion.records import RecordError, make_folder, read_json, read_tensors, write_json, write_tensors
from suasion.sequence._block import Block, RMSNorm
from suasion.sequence._convolution import CausalConvolution
from suasion.sequence._language import MambaLM, MambaLMConfig
from suasion.sequence._mamba import Mamba

_CONFIG, _WHOLE, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_EMBEDDING, _NORM, _HEAD = "backbone.embeddings.weight", "backbone.norm_f.weight", "lm_head.weight"
_OLD_EMBEDDING = "backbone.embedding.weight"
_NAMED = 5  # names that a message has room for
_LARGEST_LOG = 88.0  # exp of a little more is infinite in float32

# What a configuration says of models that are built otherwise, and must say of ours; what it leaves out is so.
_FIXED = {"model_type": "mamba", "hidden_act": "silu", "use_bias": False, "use_conv_bias": True}
_SIZES = {"vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 32, "state_size": 16, "expand": 2}
_SIZES |= {"conv_kernel": 4}  # each with transformers' default


def read_huggingface(folder: str | Path) -> MambaLM:
    """The language model of a folder.

    Weights of half precision are widened to float32. The files are taken for hostile: tables that lie are refused
    before memory is taken, and nothing is executed.

    Args:
        folder: with `config.json` and `model.safetensors`, or several files and their index.

    Raises:
        RecordError: a file that is missing or malformed; a configuration of another kind of model; tensors that are
            missing, too many, or of a wrong shape or type, by name; a weight that is not finite, as the logarithm of
            a positive A's negative is; an A of minus infinity; a tied head that differs from its embedding.
    """
    folder = Path(folder)
    config = _read_config(folder / _CONFIG)
    tensors = _read_tensors(folder)
    if _OLD_EMBEDDING in tensors and _EMBEDDING not in tensors:
        tensors[_EMBEDDING] = tensors.pop(_OLD_EMBEDDING)
    _check(tensors, config, folder)
    if config.tied and _HEAD in tensors:
        if not np.array_equal(tensors[_HEAD], tensors[_EMBEDDING]):
            raise RecordError(f"{folder}: {_HEAD} differs from {_EMBEDDING}, to which {_CONFIG} says it is tied")
        del tensors[_HEAD]
    return _model(tensors, config)


def write_huggingface(folder: str | Path, model: MambaLM, *, shard: int | None = None) -> None:
    """Write a language model so that transformers, and `read_huggingface`, read it with the same numbers.

    Equal models leave equal bytes. The configuration comes last: a folder without one is not complete. It names no
    special tokens, which belong to a tokenizer.

    Args:
        folder: made if missing; it must not hold a model yet.
        model: with Euler's rule.
        shard: bytes of tensors in a file at most, unless a single tensor is larger; all in one file if None.

    Raises:
        ValueError: a model of another rule, which the weights would not mean; weights that are not float32 or not
            finite; a shard below 1 byte; or the folder holds a model.
        OSError: the disk refused.
    """
    folder = Path(folder)
    if model.config.discretization != "euler":
        raise ValueError(f"discretization is {model.config.discretization!r}: weights of such files mean 'euler'")
    if shard is not None and shard < 1:
        raise ValueError(f"shard is {shard}: must be at least 1 byte")
    there = [name for name in (_CONFIG, _WHOLE, _INDEX) if (folder / name).exists()]
    if there:
        raise RecordError(f"{folder}: holds {there[0]}: nothing is written over a model")
    tensors = {name: np.asarray(tensor) for name, tensor in _tensors(model).items()}
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            raise ValueError(f"{name} is of {tensor.dtype}: must be of float32")
        _refuse(tensor, ~np.isfinite(tensor), name, "finite", folder)
    make_folder(folder)
    files = _shards(tensors, shard)
    for name, part in files.items():
        write_tensors(folder / name, part, {"format": "pt"})
    if len(files) > 1:
        size = sum(tensor.nbytes for tensor in tensors.values())
        places = {tensor: name for name, part in files.items() for tensor in part}
        write_json(folder / _INDEX, {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))})
    write_json(folder / _CONFIG, _config(model))


def _outer(config: MambaLMConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that are there once."""
    v, d = config.vocabulary, config.width
    return {_EMBEDDING: (v, d), _NORM: (d,)} | ({} if config.tied else {_HEAD: (v, d)})


def _inner(config: MambaLMConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a layer, by what stands after its number."""
    d, e, n, k, r = config.width, config.inner, config.states, config.taps, config.step_rank
    return {
        "norm.weight": (d,),
        "mixer.in_proj.weight": (2 * e, d),
        "mixer.conv1d.weight": (e, 1, k),
        "mixer.conv1d.bias": (e,),
        "mixer.x_proj.weight": (r + 2 * n, e),
        "mixer.dt_proj.weight": (e, r),
        "mixer.dt_proj.bias": (e,),
        "mixer.A_log": (e, n),
        "mixer.D": (e,),
        "mixer.out_proj.weight": (d, e),
    }


def _names(config: MambaLMConfig) -> Iterator[str]:
    """The names of all tensors, one after the other: a hostile file may ask for 10^18 layers."""
    yield from _outer(config)
    layer = _inner(config)
    for number in range(config.layers):
        yield from (f"backbone.layers.{number}.{name}" for name in layer)


def _shape_of(name: str, config: MambaLMConfig) -> tuple[int, ...] | None:
    """The shape of the tensor of that name; None if there is none."""
    layer = re.fullmatch(r"backbone\.layers\.(0|[1-9][0-9]{0,19})\.(.+)", name)
    if layer is None:
        return _outer(config).get(_EMBEDDING if name == _HEAD else name)  # of tied weights the head is the embedding
    return _inner(config).get(layer[2]) if int(layer[1]) < config.layers else None


def _tensors(model: MambaLM) -> dict[str, Array]:
    """The tensors of a file, as they stand there."""
    named = {_EMBEDDING: model.embedding, _NORM: model.norm.weight}
    if model.head is not None:
        named[_HEAD] = model.head.T
    for number, block in enumerate(model.blocks):
        mixer = cast(Mamba, block.mixer)
        layer = {
            "norm.weight": block.norm.weight,
            "mixer.in_proj.weight": mixer.inward.T,
            "mixer.conv1d.weight": mixer.convolution.weight.T[:, None],
            "mixer.conv1d.bias": mixer.convolution.bias,
            "mixer.x_proj.weight": mixer.select.T,
            "mixer.dt_proj.weight": mixer.step_weight.T,
            "mixer.dt_proj.bias": mixer.step_bias,
            "mixer.A_log": mixer.A_log,
            "mixer.D": mixer.D,
            "mixer.out_proj.weight": mixer.outward.T,
        }
        named |= {f"backbone.layers.{number}.{name}": tensor for name, tensor in layer.items()}
    return named


def _model(tensors: dict[str, np.ndarray], config: MambaLMConfig) -> MambaLM:
    """The inverse of `_tensors`; takes the tensors out, so that no more than one is there twice."""

    def take(name: str) -> Array:
        return jnp.array(tensors.pop(name), jnp.float32)

    def block(layer: str) -> Block:
        mixer = Mamba(
            inward=take(f"{layer}.mixer.in_proj.weight").T,
            convolution=CausalConvolution(
                weight=take(f"{layer}.mixer.conv1d.weight")[:, 0].T, bias=take(f"{layer}.mixer.conv1d.bias")
            ),
            select=take(f"{layer}.mixer.x_proj.weight").T,
            step_weight=take(f"{layer}.mixer.dt_proj.weight").T,
            step_bias=take(f"{layer}.mixer.dt_proj.bias"),
            A_log=take(f"{layer}.mixer.A_log"),
            D=take(f"{layer}.mixer.D"),
            outward=take(f"{layer}.mixer.out_proj.weight").T,
            discretization="euler",
        )
        return Block(norm=RMSNorm(take(f"{layer}.norm.weight"), config.epsilon), mixer=mixer)

    return MambaLM(
        embedding=take(_EMBEDDING),
        blocks=tuple(block(f"backbone.layers.{number}") for number in range(config.layers)),
        norm=RMSNorm(take(_NORM), config.epsilon),
        head=None if config.tied else take(_HEAD).T,
        config=config,
    )


def _check(tensors: Mapping[str, np.ndarray], config: MambaLMConfig, folder: Path) -> None:
    """Refuse what is not the tensors of such a model."""
    # Of names no more are made than the files have, and a few: there is one missing among them if any is.
    wanted = itertools.islice(_names(config), len(tensors) + _NAMED + 1)
    missing = [name for name in wanted if name not in tensors]
    shapes = {name: _shape_of(name, config) for name in tensors}
    extra = [name for name, shape in shapes.items() if shape is None]
    if missing or extra:
        lines = [f"no tensor {_listed(missing)}"] if missing else []
        lines += [f"not of such a model: {_listed(extra)}"] if extra else []
        raise RecordError(f"{folder}: {'; '.join(lines)}")
    for name, tensor in tensors.items():
        shape = cast(tuple[int, ...], shapes[name])
        if tensor.shape != shape:
            raise RecordError(f"{folder}: {name} has shape {list(tensor.shape)}: must be {list(shape)}")
        if tensor.dtype not in (np.float16, np.float32):
            raise RecordError(f"{folder}: {name} is of {tensor.dtype}: must be of float32, float16 or bfloat16")
        _refuse(tensor, ~np.isfinite(tensor), name, "finite", folder)
        if name.endswith(".A_log"):
            # What takes log(-A) of a positive A has written NaN, which is refused above.
            _refuse(tensor, tensor > _LARGEST_LOG, name, f"at most {_LARGEST_LOG}: A is infinite", folder)


def _refuse(tensor: np.ndarray, bad: np.ndarray, name: str, must: str, folder: Path) -> None:
    if bad.any():
        place = tuple(np.argwhere(bad)[0].tolist())
        raise RecordError(f"{folder}: {name}{list(place)} is {tensor[place]}: must be {must}")


def _listed(names: list[str]) -> str:
    more = " and more" if len(names) > _NAMED else ""
    return ", ".join(name[:120] for name in names[:_NAMED]) + more


def _read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """All tensors, of one file or of those that the index names."""
    if (folder / _WHOLE).exists() or not (folder / _INDEX).exists():
        return read_tensors(folder / _WHOLE)
    place = folder / _INDEX
    index = read_json(place)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise RecordError(f"{place}: weight_map must be an object of names of files")
    files = sorted(set(places.values()))
    for file in files:
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise RecordError(f"{place}: {file[:120]!r} is no name of a safetensors file in the same folder")
    tensors: dict[str, np.ndarray] = {}
    for file in files:
        found = read_tensors(folder / file)
        wanted = {name for name, where in places.items() if where == file}
        if found.keys() != wanted:
            missing, extra = sorted(wanted - found.keys()), sorted(found.keys() - wanted)
            fault = f"no tensor {_listed(missing)}" if missing else f"a tensor {_listed(extra)}"
            raise RecordError(f"{folder / file}: has {fault}, against {_INDEX}")
        tensors |= found
    return tensors


def _read_config(path: Path) -> MambaLMConfig:
    said = read_json(path)
    if not isinstance(said, dict):
        raise RecordError(f"{path}: is a {type(said).__name__}, not an object")
    for name, must in _FIXED.items():
        value = said.get(name, None if name == "model_type" else must)
        if type(value) is not type(must) or value != must:
            raise RecordError(f"{path}: {name} is {str(value)[:40]!r}: must be {must!r}")
    size = {name: _natural(said.get(name, default), name, path) for name, default in _SIZES.items()}
    rank, inner = said.get("time_step_rank", "auto"), size["expand"] * size["hidden_size"]
    if said.get("intermediate_size", inner) != inner:
        raise RecordError(f"{path}: intermediate_size is {str(said['intermediate_size'])[:40]}: must be {inner}")
    epsilon, tied = said.get("layer_norm_epsilon", 1e-5), said.get("tie_word_embeddings", True)
    if type(epsilon) not in (int, float) or not 0 < epsilon < math.inf:
        raise RecordError(f"{path}: layer_norm_epsilon is {str(epsilon)[:40]!r}: must be a positive number")
    if type(tied) is not bool:
        raise RecordError(f"{path}: tie_word_embeddings is {str(tied)[:40]!r}: must be true or false")
    return MambaLMConfig(
        vocabulary=size["vocab_size"],
        width=size["hidden_size"],
        layers=size["num_hidden_layers"],
        expand=size["expand"],
        states=size["state_size"],
        taps=size["conv_kernel"],
        rank=None if rank == "auto" else _natural(rank, "time_step_rank", path),
        tied=tied,
        discretization="euler",
        epsilon=float(epsilon),
    )


def _natural(value: Any, name: str, path: Path) -> int:
    if type(value) is not int or value < 1:
        raise RecordError(f"{path}: {name} is {str(value)[:40]!r}: must be a whole number of at least 1")
    return value


def _config(model: MambaLM) -> dict[str, Any]:
    config = model.config
    return _FIXED | {
        "architectures": ["MambaForCausalLM"],
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "state_size": config.states,
        "expand": config.expand,
        "intermediate_size": config.inner,
        "conv_kernel": config.taps,
        "time_step_rank": "auto" if config.rank is None else config.rank,
        "layer_norm_epsilon": config.epsilon,
        "tie_word_embeddings": config.tied,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _shards(tensors: Mapping[str, np.ndarray], limit: int | None) -> dict[str, dict[str, np.ndarray]]:
    """Files in the order of the tensors, each as full as the limit allows."""
    parts: list[dict[str, np.ndarray]] = [{}]
    room = math.inf if limit is None else limit
    left = room
    for name, tensor in tensors.items():
        if parts[-1] and tensor.nbytes > left:
            parts.append({})
            left = room
        parts[-1][name] = tensor
        left -= tensor.nbytes
    if len(parts) == 1:
        return {_WHOLE: parts[0]}
    return {f"model-{number:05}-of-{len(parts):05}.safetensors": part for number, part in enumerate(parts, 1)}
