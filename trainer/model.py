"""The model: LLaMA-shaped as Baichuan 2's 7 B, small enough to read.

RMSNorm before each block, rotary positions, SwiGLU, no biases. Angles of positions are computed in float32
whatever the weights' type: bfloat16 integers collide above 256. With `document_mask` a token attends to its
own document only, through a boolean mask to SDPA: O(length²) memory a row, right on a CPU and at short
lengths; variable-length kernels would take `cu_seqlens` instead, behind the same `attend`.

Source: Baichuan 2 technical report, sections 2.3 to 2.5; Su et al. 2021 (RoPE), Shazeer 2020 (SwiGLU), Zhang
and Sennrich 2019 (RMSNorm). Deviation: no NormHead and no max-z loss yet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import ModelConfig


class Transformer(nn.Module):
    """Token ids to logits.

    Args:
        config: the shape.
        vocab_size: the tokenizer's.
        seed: of the initial weights.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.norm_epsilon)
        self.head = nn.Linear(config.width, vocab_size, bias=False)
        self._initialise(seed)

    def forward(self, tokens: Tensor, positions: Tensor, segments: Tensor | None = None) -> Tensor:
        """Logits of the next token.

        Args:
            tokens: int64[rows, length].
            positions: int64[rows, length].
            segments: int64[rows, length], the document's piece of each token; None or a model without
                `document_mask`: everything before is seen.

        Returns:
            [rows, length, vocab_size].
        """
        rotation = rotary(positions, self.config.width // self.config.heads, self.config.rope_theta)
        mask = None
        if segments is not None and self.config.document_mask:
            mask = document_mask(segments)
        hidden = self.embedding(tokens)
        for block in self.blocks:
            hidden = block(hidden, rotation, mask)
        logits: Tensor = self.head(self.norm(hidden))
        return logits

    def _initialise(self, seed: int) -> None:
        """Normal weights; those that write to the residual stream smaller by √(2 · layers)."""
        generator = torch.Generator().manual_seed(seed)
        deviation = self.config.init_deviation
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = (2 * self.config.layers) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, 0.0, deviation * scale, generator=generator)


class Block(nn.Module):
    """Attention, then SwiGLU, each on the normalised input and added to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(config.width, config.norm_epsilon)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(config.width, config.norm_epsilon)
        self.gate_up = nn.Linear(config.width, 2 * config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, hidden: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        """[rows, length, width] to the same shape."""
        hidden = hidden + self.out(self._attention(self.attention_norm(hidden), rotation, mask))
        gate, up = self.gate_up(self.feed_forward_norm(hidden)).chunk(2, dim=-1)
        result: Tensor = hidden + self.down(functional.silu(gate) * up)
        return result

    def _attention(self, hidden: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = hidden.shape
        query, key, value = self.qkv(hidden).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = attend(rotate(query, rotation), rotate(key, rotation), value, mask)
        return mixed.transpose(1, 2).reshape(rows, length, width)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, causal; each argument [rows, heads, length, head_width].

    Args:
        mask: bool[rows, 1, length, length], True where a query may look, causality included; None: all
            before.
    """
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)


def document_mask(segments: Tensor) -> Tensor:
    """bool[rows, 1, length, length]: earlier tokens of the same piece."""
    same = segments[:, :, None] == segments[:, None, :]
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return (same & causal)[:, None]


def rotary(positions: Tensor, head_width: int, theta: float) -> Tensor:
    """Cosines and sines of the angles: float32[2, rows, 1, length, head_width / 2]."""
    exponents = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angles = positions.to(torch.float32)[..., None] * theta**-exponents
    return torch.stack([angles.cos(), angles.sin()])[:, :, None]


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Turn pairs (first half, second half) of each head by its angle, in float32; shape and type are kept."""
    first, second = heads.float().chunk(2, dim=-1)
    cosine, sine = rotation
    turned = torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    return turned.to(heads.dtype)


def parameter_count(model: nn.Module) -> int:
    """Number of trained weights."""
    return sum(parameter.numel() for parameter in model.parameters())
