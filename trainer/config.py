"""What a training run is: model, optimizer, length. Strict YAML from `conf/models/`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import field_validator, model_validator

from corpus.config import Refused, StrictModel, setting
from tamis.errors import ConfigError

POINTER = "checkpoint.json"
"""The file in a training's folder that names its checkpoints."""
_OPTIMIZER = "Baichuan 2, 2.6"


class ModelConfig(StrictModel):
    """Shape of the model; its vocabulary is the tokenizer's."""

    width: int = setting(..., "Length of a token's vector between layers (d_model).", unit="numbers", ge=8)
    layers: int = setting(..., "Transformer blocks.", unit="blocks", ge=1)
    heads: int = setting(..., "Attention heads of a block; the width is an even multiple of it.", unit="heads", ge=1)
    position: Literal["rope", "alibi"] = setting(
        "rope",
        "How positions are told: by rotating queries and keys, or by a penalty on distance.",
        source="Su et al. 2021 (RoPE); Press et al. 2022 (ALiBi)",
    )
    norm_head: bool = setting(False, "NormHead: output embeddings have length one.", source="Baichuan 2, 2.4, has true")
    max_z: float = setting(
        0.0,
        "Weight of the largest logit's square in the loss; more keeps logits smaller, 0 is none.",
        unit="factor",
        source="Baichuan 2, 2.4, has 2e-4",
        ge=0,
    )
    loss_chunk_tokens: int = setting(
        4096, "Tokens whose logits exist at a time; fewer take less memory, more kernel calls.", unit="tokens", ge=1
    )
    attention: Literal["auto", "sdpa", "flex", "varlen"] = setting(
        "auto", "The attention kernel; auto takes sdpa on a CPU, varlen on a GPU, and flex there with ALiBi."
    )
    document_mask: bool = setting(True, "Tokens attend to their own document only, not to others of the sequence.")
    rope_theta: float = setting(
        10_000.0, "Base of the wavelengths; larger suits longer sequences.", unit="base", source="Su et al. 2021", gt=1
    )
    norm_epsilon: float = setting(1e-6, "Added to RMSNorm's mean square, against division by 0.", unit="number", gt=0)
    init_deviation: float = setting(0.02, "Standard deviation of the initial weights.", unit="number", gt=0)

    @model_validator(mode="after")
    def _even_heads(self) -> ModelConfig:
        if self.width % self.heads or self.width // self.heads % 2:
            raise Refused("width", self.width, f"an even multiple of heads = {self.heads}")
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

    tensor: int = setting(1, "Ranks of one machine that share each layer (tensor parallelism).", unit="ranks", ge=1)
    replicate: int = setting(1, "Copies of the sharded model (HSDP).", unit="copies", ge=1)
    reshard: Literal["all", "machine", "none"] = setting(
        "all",
        "Over which ranks a block's parameters lie between its forward and backward pass: all saves most memory, none"
        " gathers once a micro-batch.",
        source="ZeRO-3, ZeRO++ and ZeRO-2, in this order",
    )
    keep_gathered: int = setting(
        0, "The last so many blocks stay gathered, as the backward pass begins with them.", unit="blocks", ge=0
    )
    reduce_each: bool = setting(
        False, "Scatter gradients after each micro-batch, not once a step: less memory, more traffic."
    )
    recompute: int = setting(
        0, "The first so many blocks keep no activations but run twice: less memory, more work.", unit="blocks", ge=0
    )


class OptimizerConfig(StrictModel):
    """AdamW with warm-up and cosine; defaults are Baichuan 2's but for the rate, which depends on size."""

    max_learning_rate: float = setting(..., "Learning rate after the warm-up.", unit="factor", gt=0)
    min_learning_rate_ratio: float = setting(
        0.1, "Last learning rate over the largest.", unit="share", source=_OPTIMIZER, ge=0, le=1
    )
    warmup_steps: int = setting(..., "Steps over which the learning rate rises from 0.", unit="steps", ge=0)
    beta1: float = setting(0.9, "Decay a step of the gradients' mean.", unit="share", source=_OPTIMIZER, ge=0, lt=1)
    beta2: float = setting(
        0.95, "Decay a step of the gradients' mean square.", unit="share", source=_OPTIMIZER, ge=0, lt=1
    )
    weight_decay: float = setting(
        0.1, "Decay of weight matrices, times the learning rate, a step.", unit="factor", source=_OPTIMIZER, ge=0
    )
    clip_norm: float = setting(0.5, "Longer gradients are cut to this length.", unit="L2 norm", source=_OPTIMIZER, gt=0)


class TrainConfig(StrictModel):
    """A model file."""

    name: str = setting(..., "Names the folder of the results, `RUN/train/<name>`.")
    model: ModelConfig = setting(..., "Shape of the model.")
    optimizer: OptimizerConfig = setting(..., "AdamW and its schedule.")
    parallel: ParallelConfig = setting(ParallelConfig(), "How the model lies over ranks.")
    steps: int = setting(..., "Optimizer steps of the training.", unit="steps", ge=1)
    global_batch: int = setting(..., "Sequences of a step, over all ranks.", unit="sequences", ge=1)
    seed: int = setting(..., "Seed of the initial weights; the order of the data has the mixture's.", ge=0, lt=1 << 63)
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where the model is trained; auto takes a GPU if it can.")
    compile: Literal["auto"] | bool = setting("auto", "Whether to compile blocks and loss; auto does on a GPU.")
    micro_rows: int = setting(
        0,
        "Sequences that a rank computes at a time, adding gradients up; fewer take less memory. 0 takes its whole part"
        " of the batch.",
        unit="sequences",
        ge=0,
    )
    spike_factor: float = setting(
        10.0,
        "A step's update is refused when its loss lies more than so many mean absolute deviations above the median."
        " 0 refuses none.",
        unit="deviations",
        ge=0,
    )
    loss_band: bool = setting(True, "Tell when the loss leaves the band that its course so far predicts.")
    tensorboard: bool = setting(False, "Write TensorBoard's event files, too; needs the extra `tensorboard`.")
    stall_seconds: float = setting(1800.0, "A step that takes longer tells where it hangs.", unit="seconds", gt=0)
    keep_every_tokens: int = setting(
        0, "The first checkpoint past every so many tokens is kept for good; 0 keeps none.", unit="tokens", ge=0
    )
    checkpoint_steps: int = setting(0, "Steps between checkpoints; 0 writes one at the end.", unit="steps", ge=0)
    heldout_steps: int = setting(50, "Steps between held-out losses; one is at the end, too.", unit="steps", ge=1)
    heldout_sequences: int = setting(
        128, "Held-out sequences that the loss is measured on; more make it less noisy.", unit="sequences", ge=1
    )

    @model_validator(mode="after")
    def _long_enough(self) -> TrainConfig:
        if self.steps < self.optimizer.warmup_steps:
            raise Refused("steps", self.steps, f"at least optimizer.warmup_steps, {self.optimizer.warmup_steps:,}")
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
        raise ConfigError(f"name: found {twice[0]!r} in two model files; expected a name each")
