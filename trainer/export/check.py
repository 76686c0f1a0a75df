"""Check of an exported model: transformers loads it, and both models give the same logits for random tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tamis.extras import needs
from trainer.config import ModelConfig
from trainer.model import Transformer


@torch.no_grad()
def largest_difference(
    folder: Path, state: Mapping[str, Tensor], config: ModelConfig, *, rows: int = 2, length: int = 64, seed: int = 1
) -> float:
    """The largest difference of a logit on random tokens, both in float32 on the CPU, one document a row.

    Raises:
        ConfigError: transformers is not installed.
    """
    needs("transformers", extra="embed", for_="--check")
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    theirs = auto.from_pretrained(folder, dtype=torch.float32).eval()
    vocab_size = len(state["head.weight"])
    ours = Transformer(config, vocab_size, 0).eval()
    ours.load_state_dict({name: weight.float().cpu() for name, weight in state.items()})
    tokens = torch.randint(0, vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))
    positions = torch.arange(length).expand(rows, -1)
    return float((ours(tokens, positions) - theirs(tokens).logits).abs().max())
