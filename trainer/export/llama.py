"""A trained model in the form that other programs load: Hugging Face's Llama, in safetensors.

Our weights differ from Llama's in three ways, which the export undoes: query, key and value are one matrix in which
they alternate head by head; gate and up are one matrix in which they alternate in blocks of `INTERLEAVED` rows; under
NormHead the head's rows are normalised to length one. Rotary positions rotate the same pairs (first half with second
half). A Llama attends to everything before a token in its row: for a model with `document_mask` use one document a row.

A model with ALiBi cannot be exported: the Llama of transformers does not have it, and Baichuan's own class for it is
code that is downloaded with the weights.

Cost: every weight is read and written once; memory for the weights of one file beside the model.

Source: transformers' `models/llama`, 5.x; its `rope_parameters` and, for 4.x, `rope_theta` are both written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from corpus.files import atomic_file, write_json
from tamis.errors import ConfigError
from trainer.config import ModelConfig
from trainer.export.tokenizer import fast_tokenizer, settings
from trainer.model import INTERLEAVED, Transformer

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TypeName = Literal["float32", "bfloat16"]
MAX_SHARD_BYTES = 5_000_000_000
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokenizer to export with a model: a SentencePiece model, None to leave it out; ids below zero are none."""

    model: bytes | None
    bos_id: int
    eos_id: int


def export_llama(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    vocabulary: Vocabulary,
    sequence_length: int,
    out: Path,
    *,
    dtype: TypeName = "float32",
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> list[Path]:
    """Write weights, config and tokenizer as transformers loads them; returns the files, weights first.

    Args:
        state: the state dict of a `Transformer`, neither split over ranks nor sharded.
        config: its shape.
        vocabulary: its tokenizer.
        sequence_length: tokens of the longest row that it was trained on.
        out: the folder to write to; existing files of the same names are replaced, other weight files are refused.
        dtype: of the weights written.
        max_shard_bytes: largest size of a file; only a single tensor may exceed it.

    Raises:
        ConfigError: the model has no Llama form, the state is not this shape's, or the folder holds other weights.
    """
    _require_llama(state, config)
    wanted = TYPES[dtype]
    shapes = {name: weight.to("meta") for name, weight in state.items()}
    plan = _plan({name: weight.numel() * wanted.itemsize for name, weight in _weights(shapes, config)}, max_shard_bytes)
    if foreign := sorted({path.name for path in out.glob("*.safetensors")} - set(plan)):
        raise ConfigError(f"{out}: found {foreign[0]}, which this export would not write; expected an empty folder")
    weights, written = _weights(state, config), []
    for name, held in plan.items():
        part = {key: weight.to("cpu", wanted).contiguous() for key, weight in islice(weights, len(held))}
        written.append(_write_weights(out / name, part))
    if len(plan) > 1:
        total = sum(size for held in plan.values() for size in held.values())
        index = {"metadata": {"total_size": total}, "weight_map": {key: name for name in plan for key in plan[name]}}
        write_json(out / INDEX, index)
        written.append(out / INDEX)
    else:
        (out / INDEX).unlink(missing_ok=True)
    vocab_size = state["head.weight"].shape[0]
    write_json(out / "config.json", llama_config(config, vocabulary, vocab_size, sequence_length, dtype))
    written.append(out / "config.json")
    return written + _write_tokenizer(out, vocabulary)


def llama_config(
    config: ModelConfig, vocabulary: Vocabulary, vocab_size: int, sequence_length: int, dtype: TypeName
) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "head_dim": config.width // config.heads,
        "hidden_act": "silu",
        "max_position_embeddings": sequence_length,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_epsilon,
        "initializer_range": config.init_deviation,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": vocabulary.bos_id if vocabulary.bos_id >= 0 else None,
        "eos_token_id": vocabulary.eos_id if vocabulary.eos_id >= 0 else None,
        "dtype": dtype,
        "torch_dtype": dtype,  # 4.x
    }


def _require_llama(state: Mapping[str, Tensor], config: ModelConfig) -> None:
    if config.position != "rope":
        raise ConfigError(
            f"model.position: found {config.position!r}, for which transformers has no Llama; expected rope"
        )
    vocab_size = len(state["head.weight"]) if "head.weight" in state else 0
    with torch.device("meta"):
        shapes = Transformer(config, vocab_size, 0).state_dict()
    expected = {name: tuple(weight.shape) for name, weight in shapes.items()}
    for name in sorted(expected.keys() | state.keys()):
        found, allowed = tuple(state[name].shape) if name in state else None, expected.get(name)
        if found != allowed:
            raise ConfigError(f"{name}: found {found or 'nothing'} in the weights; expected {allowed or 'none'}")


def _weights(state: Mapping[str, Tensor], config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Yield Llama's names and weights, one after the other."""
    yield "model.embed_tokens.weight", state["embedding.weight"]
    for layer in range(config.layers):
        here, there = f"blocks.{layer}", f"model.layers.{layer}"
        yield f"{there}.input_layernorm.weight", state[f"{here}.attention_norm.weight"]
        qkv = state[f"{here}.qkv.weight"].unflatten(0, (config.heads, 3, config.width // config.heads))
        for number, name in enumerate(("q_proj", "k_proj", "v_proj")):
            yield f"{there}.self_attn.{name}.weight", qkv[:, number].flatten(0, 1)
        yield f"{there}.self_attn.o_proj.weight", state[f"{here}.out.weight"]
        yield f"{there}.post_attention_layernorm.weight", state[f"{here}.feed_forward_norm.weight"]
        gate_up = state[f"{here}.gate_up.weight"].unflatten(0, (-1, 2, INTERLEAVED))
        for number, name in enumerate(("gate_proj", "up_proj")):
            yield f"{there}.mlp.{name}.weight", gate_up[:, number].flatten(0, 1)
        yield f"{there}.mlp.down_proj.weight", state[f"{here}.down.weight"]
    yield "model.norm.weight", state["norm.weight"]
    head = state["head.weight"]
    yield "lm_head.weight", functional.normalize(head.float(), dim=-1) if config.norm_head else head


def _plan(sizes: Mapping[str, int], most: int) -> dict[str, dict[str, int]]:
    """File name → the tensors in it, as name → bytes."""
    parts: list[dict[str, int]] = [{}]
    for name, size in sizes.items():
        if parts[-1] and sum(parts[-1].values()) + size > most:
            parts.append({})
        parts[-1][name] = size
    if len(parts) == 1:
        return {SINGLE: parts[0]}
    return {f"model-{i:05d}-of-{len(parts):05d}.safetensors": part for i, part in enumerate(parts, 1)}


def _write_weights(path: Path, part: dict[str, Tensor]) -> Path:
    from safetensors.torch import save

    with atomic_file(path) as file:
        file.write(save(part, metadata={"format": "pt"}))
    return path


def _write_tokenizer(out: Path, vocabulary: Vocabulary) -> list[Path]:
    """Write the SentencePiece model, and the same as tokenizer.json if it can be converted."""
    if vocabulary.model is None:
        return []
    with atomic_file(out / "tokenizer.model") as file:
        file.write(vocabulary.model)
    fast = fast_tokenizer(vocabulary.model)
    if fast is None:
        return [out / "tokenizer.model"]
    texts = {i: text for text, i in fast["model"]["vocab"].items()}
    write_json(out / "tokenizer.json", fast)
    write_json(out / "tokenizer_config.json", settings(texts.get(vocabulary.bos_id), texts.get(vocabulary.eos_id)))
    return [out / name for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")]
