"""Attention behind one interface: the mask is prepared once a batch, and three kernels apply it with the same result.

    sdpa     torch's scaled_dot_product_attention with a mask or bias: anywhere, O(length²) memory a row
    flex     FlexAttention, compiled on a GPU: masks and ALiBi as functions, blocks that are fully masked are skipped
    varlen   flash attention over concatenated documents, by cu_seqlens: the fastest, on GPUs, without ALiBi

A token attends to earlier tokens of its own document's piece (`document_mask`), or to everything before it in its row.
Pieces are given as `cu_seqlens`, the sampler's offsets of pieces in the concatenated rows; each row begins a piece.
ALiBi adds -slope · distance to the scores; slopes and distances are float32, whatever the weights' type.

Source: Press et al. 2022 (ALiBi); Dong et al. 2024 (FlexAttention); Dao 2023 (FlashAttention-2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tamis.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AttentionMask:
    """The attention mask of a batch, in the form that its kernel needs.

    sdpa: `dense`, bool or float[rows, 1 or heads, length, length], None for a plain causal mask. flex: `blocks`, its
    block mask, and `slopes`, float32[heads], None without ALiBi. varlen: `bounds`, int32[n_pieces + 1], where pieces
    begin in the concatenated rows, and `longest`, an upper bound for the tokens of a piece.
    """

    kernel: str
    dense: Tensor | None = None
    blocks: Any = None
    slopes: Tensor | None = None
    bounds: Tensor | None = None
    longest: int = 0


def choose_kernel(wanted: str, device: torch.device, alibi: bool) -> str:
    """The kernel for a device.

    Raises:
        ConfigError: the kernel cannot run on the device, or only with rounding errors.
    """
    if wanted == "sdpa" and alibi and device.type == "cuda":
        raise ConfigError(
            "model.attention: found 'sdpa', which rounds ALiBi's distances to bfloat16 on a GPU; expected auto, flex"
        )
    if wanted == "varlen" and (alibi or device.type != "cuda"):
        why = "ALiBi needs a bias" if alibi else f"device is {device.type}"
        raise ConfigError(f"model.attention: found 'varlen', but {why}; expected auto, sdpa, flex")
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "sdpa"
    return "flex" if alibi else "varlen"


def build_mask(
    kernel: str, cu_seqlens: Tensor | None, rows: int, length: int, slopes: Tensor | None, device: torch.device
) -> AttentionMask:
    """Prepare the mask of a batch; `slopes` are ALiBi's, float32[heads], or None.

    `cu_seqlens`, int32[n_pieces + 1], says where pieces begin in the concatenated rows; None if a token attends to
    everything before it in its row.
    """
    if kernel == "varlen":
        if cu_seqlens is None:
            cu_seqlens = torch.arange(0, rows * length + 1, length, dtype=torch.int32, device=device)
        return AttentionMask(kernel="varlen", bounds=cu_seqlens, longest=length)
    segments = None if cu_seqlens is None else segments_of(cu_seqlens, rows, length)
    if kernel == "flex":
        return _blocks(segments, rows, length, slopes, device)
    return _mask(segments, length, slopes, device)


def segments_of(cu_seqlens: Tensor, rows: int, length: int) -> Tensor:
    """The piece that each token is in, counted over all rows: int64[rows, length]."""
    places = torch.arange(rows * length, dtype=cu_seqlens.dtype, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens, places, right=True).view(rows, length)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    """Softmax(query · key / √width) · value under a mask; all of them [rows, length, heads, width]."""
    if mask.kernel == "varlen":
        return _attend_pieces(query, key, value, mask)
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))  # as views: [rows, heads, length, width]
    if mask.kernel == "flex":
        # Compiled for a CPU, torch 2.13's flex attention misreads values that are a strided view.
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        score = _alibi_score(mask.slopes)
        mixed = _flex(query.device.type)(query, key, value, score_mod=score, block_mask=mask.blocks)
    else:
        dense = mask.dense if mask.dense is None or mask.dense.dtype == torch.bool else mask.dense.to(query.dtype)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=dense, is_causal=dense is None)
    return mixed.transpose(1, 2)


def alibi_slopes(heads: int) -> Tensor:
    """float32[heads]: 2^(-8k/n) if n is a power of two; else those of the power below and every other one of the next.

    Source: Press et al. 2022, section 3 and its code.
    """
    lower = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * k / lower) for k in range(1, lower + 1)]
    slopes += [2.0 ** (-4 * k / lower) for k in range(1, 2 * (heads - lower) + 1, 2)]
    return torch.tensor(slopes, dtype=torch.float32)


def _mask(segments: Tensor | None, length: int, slopes: Tensor | None, device: torch.device) -> AttentionMask:
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    allowed = None if segments is None else ((segments[:, :, None] == segments[:, None, :]) & causal)[:, None]
    if slopes is None:
        return AttentionMask(kernel="sdpa", dense=allowed)
    index = torch.arange(length, device=device, dtype=torch.float32)
    bias = slopes[:, None, None] * (index[None, :] - index[:, None])  # key - query: below zero for what lies before
    return AttentionMask(
        kernel="sdpa", dense=bias[None].masked_fill(~(causal if allowed is None else allowed), float("-inf"))
    )


def _blocks(
    segments: Tensor | None, rows: int, length: int, slopes: Tensor | None, device: torch.device
) -> AttentionMask:
    from torch.nn.attention.flex_attention import create_block_mask

    def allowed(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        before = query >= key
        return before if segments is None else before & (segments[row, query] == segments[row, key])

    blocks = create_block_mask(allowed, rows, None, length, length, device=str(device))
    return AttentionMask(kernel="flex", blocks=blocks, slopes=slopes)


def _attend_pieces(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (x.flatten(0, 1) for x in (query, key, value))  # rows end to end
    assert mask.bounds is not None
    bounds, longest = mask.bounds, mask.longest
    mixed: Any = varlen_attn(q, k, v, bounds, bounds, longest, longest, window_size=(-1, 0))
    found: Tensor = mixed.view(query.shape)
    return found


def _alibi_score(slopes: Tensor | None) -> Callable[..., Tensor] | None:
    if slopes is None:
        return None

    def score(value: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return value + slopes[head] * (key - query)

    return score


def _flex(device: str) -> Callable[..., Any]:
    """FlexAttention: compiled on a GPU, alone or with the block that calls it; on a CPU not compiled, for tests."""
    from torch.nn.attention.flex_attention import flex_attention

    as_written: Any = flex_attention
    return _compiled_flex() if device == "cuda" and not torch.compiler.is_compiling() else as_written


@cache
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)
