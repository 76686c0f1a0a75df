"""One model over many ranks, with torch's own parallelism: tensor parallel inside a machine, ZeRO across machines.

::

    mesh        replicate × shard × tensor        ranks of a tensor group are neighbours: one machine, one NVLink
    tensor      splits rows and columns of each projection, heads, the vocabulary; norms along the sequence
    shard       parameters, gradients and optimizer states in shards (FSDP2, ZeRO-3)
    replicate   copies of the sharded model (HSDP): gradients cross the slower network once, parameters never

Optimizer states are always sharded over all ranks that share a model. How blocks are resharded between forward and
backward pass is a setting, as in the report: `reshard: all` needs least memory; `machine` keeps a whole block on every
machine, so that the second all-gather stays within it (hierarchical, as in ZeRO++); `none` gathers once a micro-batch
(ZeRO-2). `keep_gathered` exempts the last blocks, which the backward pass needs first. `recompute` saves the
activations of the first blocks at the price of a second forward pass; `reduce_each` saves the memory of unsharded
gradients between micro-batches at the price of more traffic.

Each rank reads its slice of the global batch; the ranks of a tensor group read the same slice. The loss is summed over
tokens and divided by the tokens of the whole global batch, so that a step is the same with any layout.

Source: Baichuan 2 technical report, section 3; Zhao et al. 2023 (FSDP), Korthikanti et al. 2022 (sequence parallel).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from tamis.errors import ConfigError
from trainer.config import ModelConfig, ParallelConfig
from trainer.model import Transformer
from trainer.topology import order_ranks, place_here


@dataclass(frozen=True, kw_only=True)
class World:
    """This process and the others, as a mesh of replicate × shard × tensor; it is None for a single process."""

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh | None = None

    @property
    def data_rank(self) -> int:
        """The slice of the global batch that this rank reads; it follows from the place in the mesh, not the rank."""
        if self.mesh is None:
            return 0
        return self.mesh.get_local_rank("replicate") * self._size_of("shard") + self.mesh.get_local_rank("shard")

    @property
    def data_size(self) -> int:
        """How many slices there are."""
        return self.size // self._size_of("tensor")

    @property
    def tensor_mesh(self) -> DeviceMesh | None:
        """The ranks that share each layer; None if there is only one."""
        return self.mesh["tensor"] if self.mesh is not None and self._size_of("tensor") > 1 else None

    def summed(self, value: Tensor) -> Tensor:
        """A number summed over the slices of the global batch."""
        if self.mesh is None or self.data_size == 1:
            return value
        total = value.clone()
        for name in ("replicate", "shard"):
            if self._size_of(name) > 1:
                dist.all_reduce(total, group=self.mesh.get_group(name))
        return total

    def meet(self) -> None:
        """Wait until all ranks are here."""
        if self.mesh is not None:
            dist.barrier()

    def agreed(self, values: Tensor) -> list[float]:
        """Rank 0's numbers on every rank, so that decisions by them cannot differ because of a last bit."""
        if self.mesh is not None:
            values = values.clone()
            dist.broadcast(values, 0)
        return [float(value) for value in values.tolist()]

    def _size_of(self, name: str) -> int:
        return 1 if self.mesh is None else self.mesh[name].size()


def open_world(config: ParallelConfig, device: torch.device, patience: float = 1800.0) -> World:
    """Join the ranks that torchrun started and build the mesh; a single process needs neither.

    Neighbours (`trainer.topology`) form a tensor group, and neighbouring groups share a model, so that the ranks with
    most traffic between them are closest. Ranks wait `patience` seconds for each other before they give up.

    Raises:
        ConfigError: the layout does not fit the number of ranks.
    """
    if config.reshard == "machine" and config.tensor > 1:
        raise ConfigError(
            "parallel.reshard: found 'machine' beside a tensor of more than 1, for which torch's FSDP opens other "
            "groups on each rank and hangs; expected all or none, or tensor 1"
        )
    size = int(os.environ.get("WORLD_SIZE", "1"))
    ranks = config.tensor * config.replicate
    if size % ranks:
        raise ConfigError(
            f"parallel: found tensor {config.tensor} and replicate {config.replicate}, which need a multiple of "
            f"{ranks} ranks, and there are {size}; expected sizes that divide it"
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(size)))
    if config.tensor > local or local % config.tensor:
        raise ConfigError(
            f"parallel.tensor: found {config.tensor}, and a machine has {local} ranks; expected a divisor of that, "
            f"as a tensor group must not cross machines"
        )
    if size == 1:
        return World(rank=0, size=1, device=device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(seconds=patience))
    shape = (config.replicate, size // ranks, config.tensor)
    places: list[Any] = [None] * size
    dist.all_gather_object(places, place_here())
    order = torch.tensor(order_ranks(places, config.tensor)).view(shape)
    mesh = DeviceMesh(device.type, order, mesh_dim_names=("replicate", "shard", "tensor"))
    return World(rank=dist.get_rank(), size=size, device=device, mesh=mesh)


def check_layout(model: ModelConfig, config: ParallelConfig, vocab_size: int, sequence_length: int) -> None:
    """Refuse what tensor parallelism cannot split evenly.

    Raises:
        ConfigError: naming what does not divide.
    """
    for what, number in (
        ("heads", model.heads),
        ("vocabulary", vocab_size),
        ("sequence_length", sequence_length),
        ("feed-forward / 16", model.feed_forward // 16),
    ):
        if number % config.tensor:
            raise ConfigError(
                f"parallel.tensor: found {config.tensor}, which does not divide the {what}, {number}; expected divisors"
            )


def parallelise(model: Transformer, world: World, config: ParallelConfig, *, compiled: bool = False) -> None:
    """Split a model, whole and with the same weights on every rank, over the world, in place.

    `compiled`: compile each block, and the loss of a chunk of logits.
    """
    if world.tensor_mesh is not None:
        _split_layers(model, world.tensor_mesh)
    if compiled:
        # torch counts compilations by code object, which all models share: a suite of models would reach the limit.
        torch._dynamo.reset()
        torch._dynamo.config.recompile_limit = 64
    for number, block in enumerate(model.blocks):
        block.recomputed = number < config.recompute  # type: ignore[assignment]
        if compiled:
            block.run = torch.compile(block.run, fullgraph=True)  # type: ignore[assignment, arg-type]
    model.head.fused = compiled
    if world.mesh is None:
        return
    mesh = world.mesh["replicate", "shard"] if config.replicate > 1 else world.mesh["shard"]
    policy = mixed_precision() if world.device.type == "cuda" else MixedPrecisionPolicy()
    first_kept = len(model.blocks) - config.keep_gathered
    resharded = _resharded(config, world.mesh["shard"].size())
    for number, block in enumerate(model.blocks):
        fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=number < first_kept and resharded)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)


def mixed_precision() -> MixedPrecisionPolicy:
    """Parameters in bfloat16, gradients reduced in float32; a block's inputs are not cast, so angles stay float32."""
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)


def _resharded(config: ParallelConfig, shards: int) -> bool | int:
    """The setting as FSDP's `reshard_after_forward`: whether, or over how many neighbouring ranks."""
    if config.reshard != "machine":
        return config.reshard == "all"
    near = int(os.environ.get("LOCAL_WORLD_SIZE", str(shards * config.tensor))) // config.tensor
    if near == 1:
        return False  # a machine has one shard: there is nothing to spread a block over
    return near if near < shards and shards % near == 0 else True


def _split_layers(model: Transformer, mesh: DeviceMesh) -> None:
    parallelize_module(
        model,
        mesh,
        {
            "embedding": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
            "blocks.*.attention_norm": SequenceParallel(),
            "blocks.*.qkv": ColwiseParallel(input_layouts=Shard(1)),
            "blocks.*.out": RowwiseParallel(output_layouts=Shard(1)),
            "blocks.*.feed_forward_norm": SequenceParallel(),
            "blocks.*.gate_up": ColwiseParallel(input_layouts=Shard(1)),
            "blocks.*.down": RowwiseParallel(output_layouts=Shard(1)),
            "norm": SequenceParallel(),
            "head": _VocabularyParallel(),
        },
    )
    # The embedding's output is an asynchronous tensor, waited for at its first use; if that is in a compiled block
    # (torch 2.13) its gradient is lost. A copy waits at once.
    model.embedding.register_forward_hook(lambda module, given, found: found.clone())
    heads = model.config.heads // mesh.size()
    model.heads_here = range(mesh.get_local_rank() * heads, (mesh.get_local_rank() + 1) * heads)


class _VocabularyParallel(ParallelStyle):
    """Splits the head's rows over the ranks; hidden states arrive split along the sequence and are gathered."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        whole: Any = module.weight
        module.weight = nn.Parameter(distribute_tensor(whole.detach(), device_mesh, [Shard(0)]))
        module.group = device_mesh.get_group()  # type: ignore[assignment]
        module.first_row = device_mesh.get_local_rank() * (whole.shape[0] // device_mesh.size())  # type: ignore[assignment]
        module.register_forward_pre_hook(lambda _, given: (_gathered(given[0], device_mesh), *given[1:]))
        return module


def _gathered(hidden: Tensor, mesh: DeviceMesh) -> Tensor:
    split = hidden if isinstance(hidden, DTensor) else DTensor.from_local(hidden, mesh, [Shard(1)])
    return split.redistribute(mesh, [Replicate()]).to_local()
