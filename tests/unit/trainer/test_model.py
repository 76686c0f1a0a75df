"""The model's parts: kernels that see alike, positions, the report's shapes, a chunked loss that is the plain one."""

from __future__ import annotations

from typing import Any

import pytest

from corpus.config import load_config
from tamis.errors import ConfigError
from tests.conftest import REPOSITORY

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from sampler.stream.batch import IGNORED  # noqa: E402
from trainer.attention import alibi_slopes, attend, build_mask, choose_kernel, segments_of  # noqa: E402
from trainer.config import ModelConfig, TrainConfig  # noqa: E402
from trainer.head import OutputHead  # noqa: E402
from trainer.model import Transformer, parameter_count  # noqa: E402

CONF = REPOSITORY / "conf" / "models"
CPU = torch.device("cpu")


def random(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow_attention(query: Any, key: Any, value: Any, segments: Any, slopes: Any) -> Any:
    """One query at a time."""
    rows, length, heads, width = query.shape
    out = torch.zeros_like(query)
    for r in range(rows):
        for h in range(heads):
            for i in range(length):
                keys = [j for j in range(i + 1) if segments is None or segments[r, j] == segments[r, i]]
                scores = torch.stack([query[r, i, h] @ key[r, j, h] / width**0.5 for j in keys])
                if slopes is not None:
                    scores = scores - slopes[h].double() * torch.tensor([float(i - j) for j in keys])
                out[r, i, h] = sum(p * value[r, j, h] for p, j in zip(scores.softmax(0), keys, strict=True))
    return out


@pytest.mark.parametrize("kernel", ["sdpa", "flex"])
@pytest.mark.parametrize("alibi", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_every_kernel_sees_what_the_slow_twin_sees(kernel: str, alibi: bool, masked: bool) -> None:
    query, key, value = (random(2, 13, 3, 8, seed=s) for s in (1, 2, 3))
    bounds, pieces = (
        torch.tensor([0, 5, 6, 13, 26], dtype=torch.int32),
        torch.tensor([[0] * 5 + [1] + [2] * 7, [3] * 13]),
    )
    slopes = alibi_slopes(3) if alibi else None
    seen = build_mask(kernel, bounds if masked else None, 2, 13, slopes, CPU)
    got = attend(query, key, value, seen)
    assert torch.equal(segments_of(bounds, 2, 13) - 1, pieces)
    assert torch.allclose(got, slow_attention(query, key, value, pieces if masked else None, slopes), atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: varlen and compiled flex attention")
@pytest.mark.parametrize("kernel", ["varlen", "flex"])
def test_gpu_kernels_see_what_sdpa_sees(kernel: str) -> None:
    device = torch.device("cuda")
    query, key, value = (random(2, 256, 4, 64, seed=s).to(device, torch.bfloat16) for s in (1, 2, 3))
    bounds = torch.arange(0, 513, 64, dtype=torch.int32, device=device)
    plain = attend(query, key, value, build_mask("sdpa", bounds, 2, 256, None, device))
    got = attend(query, key, value, build_mask(kernel, bounds, 2, 256, None, device))
    assert torch.allclose(got.float(), plain.float(), atol=2e-2)


def test_kernels_are_chosen_by_device_and_refused_in_a_sentence() -> None:
    assert choose_kernel("auto", CPU, False) == "sdpa" and choose_kernel("flex", CPU, False) == "flex"
    cuda = torch.device("cuda")
    assert choose_kernel("auto", cuda, False) == "varlen" and choose_kernel("auto", cuda, True) == "flex"
    for device, alibi, said in ((CPU, False, "device is cpu"), (cuda, True, "ALiBi needs a bias")):
        with pytest.raises(ConfigError, match=f"model.attention: found 'varlen', but {said}"):
            choose_kernel("varlen", device, alibi)


def test_alibi_slopes_are_the_papers() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-k for k in range(1, 9)]
    assert alibi_slopes(12).tolist() == pytest.approx(
        [2.0**-k for k in range(1, 9)] + [2.0 ** -(k / 2) for k in (1, 3, 5, 7)]
    )
    assert len(alibi_slopes(40)) == 40 and alibi_slopes(1).tolist() == [2.0**-8]


@pytest.mark.parametrize("position", ["rope", "alibi"])
def test_positions_count_and_the_future_does_not(position: str) -> None:
    model = Transformer(ModelConfig(width=32, layers=2, heads=2, position=position, norm_head=True), 50, 1).double()
    tokens, places = torch.tensor([[4, 4, 4, 9, 4, 4]]), torch.arange(6)[None]
    logits = model(tokens, places)
    changed = tokens.clone()
    changed[0, 4] = 7
    assert torch.allclose(model(changed, places)[0, :4], logits[0, :4])
    swapped = model(torch.tensor([[4, 4, 9, 4, 4, 4]]), places)
    assert not torch.allclose(swapped[0, 5], logits[0, 5], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "vocabulary", "billions"),
    [
        ("baichuan2-7b", 125_696, 7.506),
        ("baichuan2-13b", 125_696, 13.897),
        ("3b", 0, 2.944),
        ("1b", 0, 1.012),
        ("100m", 0, 0.0991),
        ("10m", 0, 0.01016),
    ],
)
def test_presets_have_the_reports_shapes(name: str, vocabulary: int, billions: float) -> None:
    config = load_config(TrainConfig, CONF / f"{name}.yaml")
    with torch.device("meta"):
        model = Transformer(config.model, vocabulary, 1)
    assert parameter_count(model) / 1e9 == pytest.approx(billions, rel=0.005)
    if vocabulary:  # table 3
        shape = (config.model.width, config.model.feed_forward, config.model.heads, config.model.layers)
        assert shape == {"7b": (4096, 11008, 32, 32), "13b": (5120, 13696, 40, 40)}[name.split("-")[1]]
        assert config.model.position == {"7b": "rope", "13b": "alibi"}[name.split("-")[1]]


# ------------------------------------------------------------------------------------------------------------- head


def plain_loss(hidden: Any, weight: Any, labels: Any, normed: bool, max_z: float) -> Any:
    """The full logits, and torch's own gradients."""
    rows = torch.nn.functional.normalize(weight, dim=-1, eps=1e-12) if normed else weight
    logits = hidden @ rows.T
    nats = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    top = logits.max(-1).values[labels != IGNORED]
    return nats + max_z * top.square().sum(), nats


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("max_z", [0.0, 0.05])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_the_chunked_loss_is_the_plain_one_with_its_gradients(normed: bool, max_z: float, chunk: int) -> None:
    hidden, weight = random(64, 16, seed=1).requires_grad_(), random(97, 16, seed=2).requires_grad_()
    labels = torch.randint(0, 97, (64,), generator=torch.Generator().manual_seed(3))
    labels[[0, 5, 63]] = IGNORED
    head = OutputHead(16, 97, normed=normed, max_z=max_z, chunk_tokens=chunk).double()
    head.weight = torch.nn.Parameter(weight.detach().clone())
    mine = hidden.detach().clone().requires_grad_()
    loss = head(mine, labels)
    (loss.objective * 0.37).backward()
    objective, nats = plain_loss(hidden, weight, labels, normed, max_z)
    (objective * 0.37).backward()
    assert torch.allclose(loss.objective, objective, rtol=1e-12) and torch.allclose(loss.nats, nats, rtol=1e-12)
    assert int(loss.tokens) == 61
    assert torch.allclose(mine.grad, hidden.grad, rtol=1e-10, atol=1e-12)
    assert torch.allclose(head.weight.grad, weight.grad, rtol=1e-10, atol=1e-12)


def test_without_a_gradient_none_is_made_and_nothing_to_predict_is_zero() -> None:
    head = OutputHead(8, 11)
    torch.nn.init.normal_(head.weight)
    with torch.no_grad():
        loss = head(torch.randn(5, 8), torch.full((5,), IGNORED))
    assert float(loss.objective) == 0 and int(loss.tokens) == 0 and not loss.objective.requires_grad


def test_under_autocast_logits_are_summed_in_float32() -> None:
    head = OutputHead(16, 50, normed=True, max_z=2e-4, chunk_tokens=8)
    torch.nn.init.normal_(head.weight)
    hidden, labels = torch.randn(20, 16), torch.randint(0, 50, (20,))
    exact = head(hidden, labels)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = head(hidden, labels)
    assert narrow.nats.dtype == torch.float32
    assert float(narrow.nats) == pytest.approx(float(exact.nats), rel=0.02)
    narrow.objective.backward()
    assert head.weight.grad is not None and head.weight.grad.dtype == torch.float32


def test_norm_head_folds_into_plain_rows() -> None:
    head = OutputHead(16, 50, normed=True)
    torch.nn.init.normal_(head.weight)
    hidden = torch.randn(3, 16)
    assert torch.allclose(head(hidden), hidden @ head.rows().T)
    assert torch.allclose(head.rows().norm(dim=-1), torch.ones(50))
