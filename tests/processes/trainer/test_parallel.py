"""The model over 1, 2 and 4 gloo processes, however laid out, takes the steps that one process takes."""

from __future__ import annotations

import os
import shutil
import socket
from typing import Any

import pytest

from tamis.errors import ConfigError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from tests.support.ranks import on_ranks  # noqa: E402
from trainer.attention import build_mask  # noqa: E402
from trainer.config import ModelConfig, OptimizerConfig, ParallelConfig  # noqa: E402
from trainer.head import OutputHead  # noqa: E402
from trainer.model import Transformer, rotary  # noqa: E402
from trainer.optim import build_optimizer  # noqa: E402
from trainer.parallel import check_layout, mixed_precision, open_world, parallelise  # noqa: E402
from trainer.topology import order_ranks, place_here  # noqa: E402

SHAPE: dict[str, Any] = {
    "width": 32,
    "layers": 3,
    "heads": 4,
    "norm_head": True,
    "max_z": 2e-3,
    "loss_chunk_tokens": 10,
}
VOCABULARY, ROWS, LENGTH, STEPS = 64, 8, 16, 4
CPU = torch.device("cpu")


def batch_of(step: int) -> dict[str, Any]:
    """The global batch of a step: packed pieces, some labels left out."""
    made = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, VOCABULARY, (ROWS, LENGTH + 1), generator=made)
    begins = torch.rand(ROWS, LENGTH, generator=made) < 0.2
    begins[:, 0] = True
    labels = tokens[:, 1:].masked_fill(torch.rand(ROWS, LENGTH, generator=made) < 0.15, -100)
    labels[: ROWS // 2, 3:] = -100  # ranks must not weigh alike: half of the rows predict little
    return {"tokens": tokens[:, :-1], "labels": labels, "begins": begins}


def train(parallel: dict[str, Any], position: str = "rope", *, compiled: bool = False) -> list[tuple[float, float]]:
    """Loss and gradient norm of some steps."""
    config, layout = ModelConfig(**SHAPE, position=position), ParallelConfig(**parallel)
    world = open_world(layout, CPU)
    model = Transformer(config, VOCABULARY, 1)
    parallelise(model, world, layout, compiled=compiled)
    optimizer = build_optimizer(model, OptimizerConfig(max_learning_rate=1e-2, warmup_steps=1))
    found = []
    for step in range(STEPS):
        batch = batch_of(step)
        rows = ROWS // world.data_size
        mine = {name: value[world.data_rank * rows : (world.data_rank + 1) * rows] for name, value in batch.items()}
        positions = torch.arange(LENGTH).expand(rows, LENGTH)
        cu_seqlens = torch.cat([mine["begins"].flatten().nonzero().flatten(), torch.tensor([rows * LENGTH])]).int()
        loss = model(mine["tokens"], positions, cu_seqlens, mine["labels"])
        tokens = world.summed(loss.tokens)
        optimizer.zero_grad()
        (loss.objective * world.data_size / tokens).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        optimizer.step()
        found.append((float(world.summed(loss.nats) / tokens), float(norm)))
    return found


def vocabulary_loss(seed: int) -> tuple[float, Any, Any]:
    """A head whose rows lie on all ranks: loss, gradient of the inputs, gradient of this rank's rows."""
    import torch.distributed as dist

    open_world(ParallelConfig(tensor=4), CPU)
    rank, made = dist.get_rank(), torch.Generator().manual_seed(seed)
    weight = torch.randn(64, 8, dtype=torch.float64, generator=made)
    hidden = torch.randn(20, 8, dtype=torch.float64, generator=made).requires_grad_()
    labels = torch.randint(0, 64, (20,), generator=made)
    labels[3] = -100
    head = OutputHead(8, 16, normed=True, max_z=0.1, chunk_tokens=6).double()
    head.weight = torch.nn.Parameter(weight[rank * 16 : (rank + 1) * 16].clone())
    head.group, head.first_row = dist.group.WORLD, rank * 16
    loss = head(hidden, labels)
    loss.objective.backward()
    return float(loss.objective.detach()), hidden.grad, head.weight.grad


LAYOUTS: dict[int, list[dict[str, Any]]] = {
    2: [{}, {"tensor": 2}, {"recompute": 2}, {"reduce_each": True}],
    4: [
        {"tensor": 2},
        {"replicate": 2},
        {"reshard": "none"},
        {"reshard": "machine"},
        {"tensor": 4},
        {"tensor": 2, "replicate": 2, "keep_gathered": 1},
        {"tensor": 2, "recompute": 3},
    ],
}
COMPILED = {"tensor": 2, "recompute": 1}


def stand(machines: int) -> None:
    """Say that the ranks are on so many machines, which were numbered in turns."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    os.environ |= {"LOCAL_WORLD_SIZE": str(size // machines), "LOCAL_RANK": str(rank // machines)}
    os.environ["TAMIS_TOPOLOGY"] = f"core.node{rank % machines}"


def angles_type() -> Any:
    """In what type a block that is sharded as on a GPU gets its angles."""
    from torch.distributed.fsdp import fully_shard

    world = open_world(ParallelConfig(), CPU)
    assert world.mesh is not None
    block, got = Transformer(ModelConfig(**SHAPE), VOCABULARY, 1).blocks[0], []
    run = block.run
    block.run = lambda hidden, rotation, seen: (got.append(rotation.dtype), run(hidden, rotation, seen))[1]
    fully_shard(block, mesh=world.mesh["shard"], mp_policy=mixed_precision())
    positions = torch.arange(LENGTH)[None]
    hidden = torch.ones(1, LENGTH, SHAPE["width"], dtype=torch.bfloat16)
    assert (
        block(hidden, rotary(positions, 8, 1e4), build_mask("sdpa", None, 1, LENGTH, None, CPU)).dtype == torch.bfloat16
    )
    return got[0]


def everything(size: int) -> dict[str, Any]:
    """All layouts one after the other, as starting processes costs more than training: results by layout."""
    found: dict[str, Any] = {}
    for layout in LAYOUTS[size]:
        stand(1 if layout.get("tensor") == size else size // 2)
        found[str(layout)] = train(layout)
    found["angles"] = str(angles_type())
    stand(size // 2)
    world = open_world(ParallelConfig(tensor=2), CPU)
    found["slice"] = (world.data_rank, world.data_size)
    if size == 4:
        found["alibi"] = train({"tensor": 2}, "alibi")
        stand(1)
        found |= {f"vocabulary {seed}": vocabulary_loss(seed) for seed in (1, 2)}
    elif shutil.which("g++"):
        found["compiled"] = train(COMPILED, compiled=True)
    return found


@pytest.fixture(scope="module")
def on_two() -> list[dict[str, Any]]:
    return on_ranks(2, everything, 2)


@pytest.fixture(scope="module")
def on_four() -> list[dict[str, Any]]:
    return on_ranks(4, everything, 4)


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return {position: train({}, position) for position in ("rope", "alibi")}


def same(found: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    for (loss, norm), (one_loss, one_norm) in zip(found, expected, strict=True):
        assert loss == pytest.approx(one_loss, rel=2e-5) and norm == pytest.approx(one_norm, rel=2e-4)


@pytest.mark.parametrize("layout", LAYOUTS[2], ids=str)
def test_two_ranks_take_the_steps_of_one(layout: Any, on_two: Any, alone: Any) -> None:
    for rank in on_two:
        same(rank[str(layout)], alone["rope"])
    assert alone["rope"][0][0] != pytest.approx(alone["rope"][-1][0], rel=1e-3)  # it did learn


@pytest.mark.parametrize("layout", LAYOUTS[4], ids=str)
def test_four_ranks_take_the_steps_of_one(layout: Any, on_four: Any, alone: Any) -> None:
    for rank in on_four:
        same(rank[str(layout)], alone["rope"])


def test_angles_stay_float32_where_parameters_are_bfloat16(on_two: Any) -> None:
    assert [rank["angles"] for rank in on_two] == ["torch.float32"] * 2


def test_heads_with_alibi_are_split_too(on_four: Any, alone: Any) -> None:
    for rank in on_four:
        same(rank["alibi"], alone["alibi"])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_blocks_and_loss_take_the_same_steps(on_two: Any, alone: Any) -> None:
    for rank in on_two:
        same(rank["compiled"], alone["rope"])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_vocabulary_over_four_ranks_gives_the_loss_and_gradients_of_one(seed: int, on_four: Any) -> None:
    made = torch.Generator().manual_seed(seed)
    weight = torch.randn(64, 8, dtype=torch.float64, generator=made)
    hidden = torch.randn(20, 8, dtype=torch.float64, generator=made).requires_grad_()
    labels = torch.randint(0, 64, (20,), generator=made)
    labels[3] = -100
    head = OutputHead(8, 64, normed=True, max_z=0.1, chunk_tokens=6).double()
    head.weight = torch.nn.Parameter(weight)
    loss = head(hidden, labels)
    loss.objective.backward()
    found = [rank[f"vocabulary {seed}"] for rank in on_four]
    for objective, grad_hidden, _ in found:
        assert objective == pytest.approx(float(loss.objective.detach()), rel=1e-12)
        assert torch.allclose(grad_hidden, hidden.grad, rtol=1e-9, atol=1e-12)
    assert torch.allclose(torch.cat([rows for _, _, rows in found]), head.weight.grad, rtol=1e-9, atol=1e-12)


def test_layouts_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="tensor 4 and replicate 1, .* multiple of 4 ranks, and there are 6"):
        open_world(ParallelConfig(tensor=4), CPU)
    with pytest.raises(ConfigError, match=r"parallel\.tensor: found 2, and a machine has 3 ranks"):
        open_world(ParallelConfig(tensor=2), CPU)
    with pytest.raises(ConfigError, match=r"parallel\.reshard: found 'machine' beside a tensor of more than 1"):
        open_world(ParallelConfig(tensor=2, reshard="machine"), CPU)
    model = ModelConfig(**SHAPE)
    for tensor, vocabulary, length, what in (
        (8, 64, 16, "heads, 4"),
        (2, 63, 16, "vocabulary, 63"),
        (2, 64, 15, "sequence_length, 15"),
    ):
        with pytest.raises(ConfigError, match=f"does not divide the {what}"):
            check_layout(model, ParallelConfig(tensor=tensor), vocabulary, length)


def test_ranks_are_ordered_by_where_they_are() -> None:
    """Machines of one leaf are neighbours, node9 comes before node10, whatever torchrun numbered first."""
    told = [("s1.l2.node10", 0), ("s1.l1.node9", 1), ("s1.l2.node10", 1), ("s1.l1.node9", 0), ("s1.l2.node2", 0)]
    told += [("s1.l2.node2", 1)]
    places = [place_here({"TAMIS_TOPOLOGY": path, "LOCAL_RANK": str(local)}) for path, local in told]
    assert order_ranks(places, 2) == [3, 1, 4, 5, 0, 2]
    assert place_here({"SLURM_TOPOLOGY_ADDR": "a.b", "LOCAL_RANK": "3"}) == (("a", "b"), 3)
    assert place_here({"SLURM_TOPOLOGY_ADDR": "a.b", "TAMIS_TOPOLOGY": "c"})[0] == ("c",)
    assert place_here({}) == ((socket.gethostname(),), 0)
    with pytest.raises(ConfigError, match=r"2 ranks that are number 1 of machine s1\.l2\.node2; expected one"):
        order_ranks([*places, places[-1]], 1)
    with pytest.raises(ConfigError, match=r"parallel\.tensor: found 2, and machine s1\.l2\.node2 has 1 ranks"):
        order_ranks(places[:-1], 2)


def test_tensor_groups_are_laid_within_machines(on_four: Any) -> None:
    """Ranks 0 and 2 are on the first machine, 1 and 3 on the second: they read the same slices."""
    assert [rank["slice"] for rank in on_four] == [(0, 2), (1, 2), (0, 2), (1, 2)]
