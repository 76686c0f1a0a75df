"""MFU: the formula by hand, devices by name, a measured product, and what the command says of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from trainer.config import ModelConfig  # noqa: E402
from trainer.model import Transformer, parameter_count  # noqa: E402
from trainer.utilisation import FORMULA, Rates, data_sheet_peak, gemm_rate, measure_rates  # noqa: E402

CONF = REPOSITORY / "conf" / "models"
SHAPE = ModelConfig(width=64, layers=3, heads=4)


def test_the_formula_by_hand() -> None:
    model = Transformer(SHAPE, 100, 1)
    looked_up_or_gains = 100 * 64 + (2 * 3 + 1) * 64
    rates = measure_rates(SHAPE, 100, torch.device("cpu"), 2)
    assert rates.products == 6 * (parameter_count(model) - looked_up_or_gains)
    assert rates.attention == 12 * 3 * 64
    assert rates.peak is None and rates.gemm > 1e8 and rates.device_name == "CPU"
    known = Rates(device_name="x", devices=2, products=6e9, attention=1e6, peak=1e15, gemm=5e14)
    # 1e5 tokens/s · (6e9 + 1e6 · 2,048) / 2 devices = 4.024e14 FLOPs/s of each
    assert known.of(1e5, 2048) == {"mfu": 0.4024, "mfu_gemm": 0.8048}
    assert set(rates.of(1e5, 32)) == {"mfu_gemm"}
    assert known.describe()["formula"] == FORMULA and known.describe()["devices"] == 2


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A800-SXM4-80GB", 312.0),
        ("NVIDIA A100-SXM4-40GB", 312.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA H200", 989.4),
        ("Tesla V100-SXM2-16GB", 125.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA B200", 2250.0),
        ("a device of next year", None),
        ("", None),
    ],
)
def test_devices_are_known_by_name(name: str, teraflops: float | None) -> None:
    assert data_sheet_peak(name) == (None if teraflops is None else pytest.approx(teraflops * 1e12))


def test_a_product_is_measured_once() -> None:
    assert gemm_rate("cpu", None, 64) == gemm_rate("cpu", None, 64) > 0


def test_what_the_command_says() -> None:
    from cli.training.train import _speed

    rates = Rates(device_name="NVIDIA H100", devices=8, products=6e9, attention=1e6, peak=9.894e14, gemm=7e14)
    summary: dict[str, Any] = rates.describe() | {"tokens_per_second": 123_456.0, "loader_seconds": 0.0012}
    said = _speed(summary | {"mfu": 0.4111, "mfu_gemm": 0.5812})
    assert "123,456 tokens/s, 1.2 ms a step waiting for data" in said and "8 × NVIDIA H100" in said
    assert "41.1% of the data sheet's 989.4 TFLOP/s and 58.1% of a matrix product's" in said and FORMULA in said
    said = _speed(summary | {"mfu": None, "mfu_gemm": 0.5812})
    assert "data sheet" not in said and "58.1%" in said
    assert _speed(summary | {"tokens_per_second": None}) == "no step was measured"


def test_the_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    """All but the figure: made-up text through the loop's own steps, a profile that adds up."""
    from benchmarks.trainer import trainer_speed

    options = argparse.Namespace(
        model=CONF / "tiny.yaml",
        length=64,
        rows=2,
        vocabulary=300,
        steps=2,
        warmup=1,
        device="cpu",
        eager=True,
        attention="auto",
        recompute=1,
        format="text",
    )
    found = trainer_speed.measure(options, tmp_path)
    assert found["tokens_a_step"] == 128 and found["tokens_per_second"] > 0 and found["peak"] is None
    assert found["causal"]["mfu_gemm"] < found["whole"]["mfu_gemm"] and found["loss"] == pytest.approx(5.7, abs=0.5)
    assert sum(found["time"].values()) == pytest.approx(1) and found["time"]["matrix products"] > 0
    said = trainer_speed.as_markdown(found, options)
    assert "| a measured matrix product |" in said and "data sheet" not in said


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("nvjet_tst_256x128_64x4_1x2_h_bz_coopA_NTT", "matrix products"),
        ("aten::mm", "matrix products"),
        ("flash::flash_fwd_kernel<...>", "attention"),
        ("Memcpy HtoD (Pinned -> Device)", "copies"),
        ("triton_red_fused__to_copy_exp_sub_2", "fused: norms, rotation, SwiGLU, loss"),
        ("multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("ncclDevKernel", "exchange between ranks"),
        ("unheard_of", "other"),
        ("triton_tem_fused_flex_attention_4", "attention"),
        ("triton_tem_fused_mm_3", "matrix products"),
    ],
)
def test_kernels_are_sorted_by_name(kernel: str, kind: str) -> None:
    from benchmarks.trainer.trainer_speed import kind_of

    assert kind_of(kernel) == kind
