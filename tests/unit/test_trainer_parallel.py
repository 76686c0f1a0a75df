"""The model over 1, 2 and 4 gloo processes, however laid out, takes the steps that one process takes."""

from __future__ import annotations

from typing import Any

import pytest

from corpus.errors import ConfigError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from tests.ranks import on_ranks  # noqa: E402
from trainer.config import ModelConfig, OptimizerConfig, ParallelConfig  # noqa: E402
from trainer.head import Head  # noqa: E402
from trainer.model import Transformer  # noqa: E402
from trainer.optim import build_optimizer  # noqa: E402
from trainer.parallel import check_layout, open_world, parallelise  # noqa: E402

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


def train(parallel: dict[str, Any], shape: dict[str, Any]) -> list[tuple[float, float]]:
    """Loss and gradient norm of some steps."""
    config, layout = ModelConfig(**{**SHAPE, **shape}), ParallelConfig(**parallel)
    world = open_world(layout, CPU)
    model = Transformer(config, VOCABULARY, 1)
    parallelise(model, world, layout)
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


ALONE: dict[str, list[tuple[float, float]]] = {}


@pytest.mark.parametrize(
    ("size", "parallel"),
    [
        (2, {}), (2, {"tensor": 2}), (4, {"tensor": 2}), (4, {"replicate": 2}), (4, {"reshard": "none"}),
        (4, {"tensor": 4}), (4, {"tensor": 2, "replicate": 2, "reshard": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("position", ["rope", "alibi"])
def test_any_layout_takes_the_same_steps_as_one_process(size: int, parallel: dict[str, Any], position: str) -> None:
    if position == "alibi" and size == 4 and parallel != {"tensor": 2}:
        pytest.skip("heads are split by tensor parallelism alone")
    expected = ALONE.setdefault(position, train({}, {"position": position}))
    found = on_ranks(size, train, parallel, {"position": position})
    for rank in found:
        for (loss, norm), (one_loss, one_norm) in zip(rank, expected, strict=True):
            assert loss == pytest.approx(one_loss, rel=2e-5) and norm == pytest.approx(one_norm, rel=2e-4)
    assert expected[0][0] != pytest.approx(expected[-1][0], rel=1e-3)  # it did learn


def vocabulary_loss(seed: int) -> tuple[float, Any, Any]:
    """A head whose rows lie on all ranks: loss, gradient of the inputs, gradient of this rank's rows."""
    import torch.distributed as dist

    open_world(ParallelConfig(tensor=4), CPU)
    rank, made = dist.get_rank(), torch.Generator().manual_seed(seed)
    weight = torch.randn(64, 8, dtype=torch.float64, generator=made)
    hidden = torch.randn(20, 8, dtype=torch.float64, generator=made).requires_grad_()
    labels = torch.randint(0, 64, (20,), generator=made)
    labels[3] = -100
    head = Head(8, 16, normed=True, max_z=0.1, chunk_tokens=6).double()
    head.weight = torch.nn.Parameter(weight[rank * 16 : (rank + 1) * 16].clone())
    head.group, head.first_row = dist.group.WORLD, rank * 16
    loss = head(hidden, labels)
    loss.objective.backward()
    return float(loss.objective.detach()), hidden.grad, head.weight.grad


@pytest.mark.parametrize("seed", [1, 2])
def test_a_vocabulary_over_four_ranks_gives_the_loss_and_gradients_of_one(seed: int) -> None:
    made = torch.Generator().manual_seed(seed)
    weight = torch.randn(64, 8, dtype=torch.float64, generator=made)
    hidden = torch.randn(20, 8, dtype=torch.float64, generator=made).requires_grad_()
    labels = torch.randint(0, 64, (20,), generator=made)
    labels[3] = -100
    head = Head(8, 64, normed=True, max_z=0.1, chunk_tokens=6).double()
    head.weight = torch.nn.Parameter(weight)
    loss = head(hidden, labels)
    loss.objective.backward()
    found = on_ranks(4, vocabulary_loss, seed)
    for objective, grad_hidden, _ in found:
        assert objective == pytest.approx(float(loss.objective.detach()), rel=1e-12)
        assert torch.allclose(grad_hidden, hidden.grad, rtol=1e-9, atol=1e-12)
    assert torch.allclose(torch.cat([rows for _, _, rows in found]), head.weight.grad, rtol=1e-9, atol=1e-12)


def test_layouts_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="tensor 4 and replicate 1, .* multiple of 4 ranks, and there are 6"):
        open_world(ParallelConfig(tensor=4), CPU)
    with pytest.raises(ConfigError, match=r"`parallel\.tensor` is 2, and a machine has 3 ranks"):
        open_world(ParallelConfig(tensor=2), CPU)
    model = ModelConfig(**SHAPE)
    for tensor, vocabulary, length, what in (
        (8, 64, 16, "heads, 4"),
        (2, 63, 16, "vocabulary, 63"),
        (2, 64, 15, "sequence_length, 15"),
    ):
        with pytest.raises(ConfigError, match=f"does not divide the {what}"):
            check_layout(model, ParallelConfig(tensor=tensor), vocabulary, length)
