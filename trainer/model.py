"""The model: a LLaMA-like transformer as Baichuan 2, small enough to read.

RMSNorm before each block, SwiGLU, no biases; rotary positions (as the 7 B) or ALiBi (as the 13 B); optionally
NormHead and max-z at the output (`trainer.head`). Angles and distances are computed in float32, whatever the weights'
type: bfloat16 cannot represent all integers above 256. Masks and kernels are in `trainer.attention`.

Source: Baichuan 2 technical report, sections 2.3 to 2.5; Su et al. 2021 (RoPE), Press et al. 2022 (ALiBi), Shazeer 2020
(SwiGLU), Zhang and Sennrich 2019 (RMSNorm).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from trainer.attention import AttentionMask, alibi_slopes, attend, build_mask, choose_kernel
from trainer.config import ModelConfig
from trainer.head import Loss, OutputHead

INTERLEAVED = 16
"""Blocks of so many rows of gate and of up alternate in their fused projection, so that a rank's part of its rows has
both. In the same way query, key and value alternate head by head."""


class Transformer(nn.Module):
    """Token ids to logits, or to their loss."""

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int) -> None:
        super().__init__()
        self.config = config
        self.heads_here = range(config.heads)  # the heads on this rank: fewer under tensor parallelism
        self.embedding = nn.Embedding(vocab_size, config.width)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.norm_epsilon)
        self.head = OutputHead(
            config.width, vocab_size, normed=config.norm_head, max_z=config.max_z, chunk_tokens=config.loss_chunk_tokens
        )
        if not self.embedding.weight.is_meta:
            self.initialise(seed)

    def forward(
        self, tokens: Tensor, positions: Tensor, cu_seqlens: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor | Loss:
        """Logits of the next token, [rows, length, vocab_size], or the loss of the labels.

        Tokens are int64[rows, length], positions int[rows, length]; labels int64[rows, length], -100 for tokens that do
        not count. `cu_seqlens`, int32[n_pieces + 1], says where documents' pieces begin in the concatenated rows. If it
        is None, or if the model has no `document_mask`, a token attends to everything before it in its row.
        """
        config, device = self.config, tokens.device
        rows, length = tokens.shape
        alibi = config.position == "alibi"
        slopes = alibi_slopes(config.heads)[self.heads_here.start : self.heads_here.stop].to(device) if alibi else None
        kernel = choose_kernel(config.attention, device, alibi)
        mask = build_mask(kernel, cu_seqlens if config.document_mask else None, rows, length, slopes, device)
        rotation = None if alibi else rotary(positions, config.width // config.heads, config.rope_theta)
        hidden = self.embedding(tokens)
        if torch.is_autocast_enabled(device.type):  # the residual stream has this type, as under FSDP's casts
            hidden = hidden.to(torch.get_autocast_dtype(device.type))
        for block in self.blocks:
            hidden = block(hidden, rotation, mask)
        found: Tensor | Loss = self.head(self.norm(hidden).to(hidden.dtype), labels)
        return found

    def initialise(self, seed: int) -> None:
        """Normally distributed weights; matrices that write to the residual stream are divided by √(2 · layers)."""
        generator = torch.Generator().manual_seed(seed)
        deviation = self.config.init_deviation
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = (2 * self.config.layers) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, 0.0, deviation * scale, generator=generator)
            else:
                nn.init.ones_(parameter)


class TransformerBlock(nn.Module):
    """Attention, then SwiGLU, each on the normalised input and added to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.recomputed = False  # activation checkpointing: the backward pass computes activations again
        self.head_width = config.width // config.heads
        self.attention_norm = nn.RMSNorm(config.width, config.norm_epsilon)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(config.width, config.norm_epsilon)
        self.gate_up = nn.Linear(config.width, 2 * config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, hidden: Tensor, rotation: Tensor | None, mask: AttentionMask) -> Tensor:
        """[rows, length, width] to the same shape."""
        if self.recomputed and torch.is_grad_enabled():
            again: Tensor = checkpoint(self.run, hidden, rotation, mask, use_reentrant=False)
            return again
        return self.run(hidden, rotation, mask)

    def run(self, hidden: Tensor, rotation: Tensor | None, mask: AttentionMask) -> Tensor:
        """The body of `forward`, which is compiled; it runs twice under activation checkpointing."""
        hidden = hidden + self.out(self._attention(self.attention_norm(hidden).to(hidden.dtype), rotation, mask))
        normed = self.feed_forward_norm(hidden).to(hidden.dtype)  # autocast makes norms float32
        gate, up = self.gate_up(normed).unflatten(-1, (-1, 2, INTERLEAVED)).unbind(-2)
        result: Tensor = hidden + self.down((functional.silu(gate) * up).flatten(-2))
        return result

    def _attention(self, hidden: Tensor, rotation: Tensor | None, mask: AttentionMask) -> Tensor:
        """The number of heads follows from the projection: under tensor parallelism a rank has only some of them."""
        query, key, value = self.qkv(hidden).unflatten(-1, (-1, 3, self.head_width)).unbind(-2)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        return attend(query, key, value, mask).flatten(2)


def rotary(positions: Tensor, head_width: int, theta: float) -> Tensor:
    """Cosines and sines of the angles: float32[2, rows, length, 1, head_width / 2]."""
    exponents = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angles = positions.to(torch.float32)[..., None] * theta**-exponents
    return torch.stack([angles.cos(), angles.sin()])[:, :, :, None]


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the pairs (first half, second half) of each head, [rows, length, heads, width], in float32."""
    first, second = heads.float().chunk(2, dim=-1)
    cosine, sine = rotation.unbind(0)
    turned = torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    return turned.to(heads.dtype)


def parameter_count(model: nn.Module) -> int:
    """Number of trained weights."""
    return sum(parameter.numel() for parameter in model.parameters())
