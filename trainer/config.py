"""What a training run is: model, optimizer, length. Strict YAML from `conf/models/`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from corpus.config import StrictModel
from tamis.errors import ConfigError


class ModelConfig(StrictModel):
    """Shape of the model; its vocabulary is the tokenizer's."""

    width: int = Field(ge=8)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    position: Literal["rope", "alibi"] = "rope"
    norm_head: bool = False  # Baichuan 2's: output rows at length one
    max_z: float = Field(0.0, ge=0)  # Baichuan 2's is 2e-4: weight of the largest logit's square
    loss_chunk_tokens: int = Field(4096, ge=1)  # tokens whose logits exist at a time
    attention: Literal["auto", "sdpa", "flex", "varlen"] = "auto"
    document_mask: bool = True  # tokens see their own document only
    rope_theta: float = Field(10_000.0, gt=1)
    norm_epsilon: float = Field(1e-6, gt=0)
    init_deviation: float = Field(0.02, gt=0)

    @model_validator(mode="after")
    def _even_heads(self) -> ModelConfig:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(f"a width that is an even multiple of heads = {self.heads}")
        return self

    @property
    def shape(self) -> dict[str, Any]:
        """What a checkpoint's weights mean: all but how they were drawn and which kernels multiply them."""
        return self.model_dump(exclude={"attention", "loss_chunk_tokens", "init_deviation"})

    @property
    def feed_forward(self) -> int:
        """SwiGLU's hidden size: 8/3 of the width, rounded up to a multiple of 128."""
        return -(-8 * self.width // (3 * 128)) * 128


class ParallelConfig(StrictModel):
    """How a model lies over ranks; what is left of their number shards parameters, gradients and optimizer states."""

    tensor: int = Field(1, ge=1)  # ranks that share each layer, within a machine
    replicate: int = Field(1, ge=1)  # copies of the sharded model (HSDP)
    reshard: Literal["all", "machine", "none"] = "all"  # how far blocks are sharded between forward and backward
    keep_gathered: int = Field(0, ge=0)  # the last so many blocks are not
    reduce_each: bool = False  # scatter gradients after each micro-batch, not once a step: less memory, more traffic
    recompute: int = Field(0, ge=0)  # the first so many blocks keep no activations, but run again backward


class OptimizerConfig(StrictModel):
    """AdamW with warm-up and cosine; defaults are Baichuan 2's but for the rate, which depends on size."""

    max_learning_rate: float = Field(gt=0)
    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1)
    warmup_steps: int = Field(ge=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    weight_decay: float = Field(0.1, ge=0)
    clip_norm: float = Field(0.5, gt=0)


class TrainConfig(StrictModel):
    """A model file."""

    name: str  # results go to RUN/train/<name>
    model: ModelConfig
    optimizer: OptimizerConfig
    parallel: ParallelConfig = ParallelConfig()
    steps: int = Field(ge=1)
    global_batch: int = Field(ge=1)  # sequences a step
    seed: int = Field(ge=0, lt=1 << 63)  # of the initial weights; the data has the mixture's
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: Literal["auto"] | bool = "auto"  # blocks and loss, by torch.compile; auto: on a GPU
    micro_rows: int = Field(0, ge=0)  # sequences of a rank's slice at a time, gradients added up; 0: all at once
    spike_factor: float = Field(10.0, ge=0)  # mean absolute deviations above the median loss; 0: no such rule
    loss_band: bool = True  # tell when the loss leaves the band that its course predicts
    tensorboard: bool = False  # event files beside metrics.jsonl; needs the extra `tensorboard`
    stall_seconds: float = Field(1800.0, gt=0)  # a step that takes longer tells where it hangs
    keep_every_tokens: int = Field(0, ge=0)  # the first checkpoint past every so many tokens is kept for good
    checkpoint_steps: int = Field(0, ge=0)  # a checkpoint every so many steps; 0: at the end only
    heldout_steps: int = Field(50, ge=1)  # held-out loss every so many steps, and at the end
    heldout_sequences: int = Field(128, ge=1)

    @model_validator(mode="after")
    def _long_enough(self) -> TrainConfig:
        if self.steps < self.optimizer.warmup_steps:
            raise ValueError(f"steps, {self.steps:,}, at least optimizer.warmup_steps, {self.optimizer.warmup_steps:,}")
        return self

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError("letters, digits, '.', '_' and '-', as it names a folder")
        return value


def require_names(configs: Sequence[TrainConfig]) -> None:
    """Refuse two models of one name: the name is a folder.

    Raises:
        ConfigError: naming it.
    """
    names = [config.name for config in configs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"key `name` is {twice[0]!r} in two model files (allowed: a name each).")
