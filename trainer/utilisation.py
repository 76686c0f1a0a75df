"""How much of a device a training uses: model FLOPs utilisation, relative to the data sheet and to a measured GEMM.

    MFU = FLOPs a token · tokens a second / (devices · FLOPs a second of one)

FLOPs a token are those of `trainer.scaling.law`: 6 · N + 12 · layers · width · length. They are what the model needs,
not what is computed: recomputed activations do not count, and attention counts in full, though a causal kernel computes
half of it and one with a document mask less. With half the `length` it is the strict figure; the benchmark prints both.

There are two denominators, as either alone misleads: the data sheet's dense rate for the data type, which no program
reaches, and the best measured rate of a large matrix product on this device, at its temperature and power limit.

Source: Chowdhery et al. 2022 (PaLM), appendix B; data sheets of NVIDIA's A100, A800, H100, H800, H200, B200, L40S.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch

from trainer.config import ModelConfig
from trainer.scaling.law import training_flops

FORMULA = "MFU = (6 · N + 12 · layers · width · length) · tokens/s / (devices · peak)"
DENSE_BFLOAT16 = {
    "A100": 312e12,
    "A800": 312e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989.4e12,
    "H800": 989.4e12,
    "H200": 989.4e12,
    "H20": 148e12,
    "GH200": 989.4e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 149.7e12,
    "A10": 125e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
}
"""FLOPs a second, dense, tensor cores with float32 accumulation; V100: float16. The longest matching name is used."""
_REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The constants of a run's MFU.

    `products` are FLOPs a token, 6 · N; `attention` FLOPs a token and token of length, 12 · layers · width. `peak` and
    `gemm` are FLOPs a second of one device: by its data sheet, None if it is not in our table, and as measured.
    """

    device_name: str
    devices: int
    products: float
    attention: float
    peak: float | None
    gemm: float

    def of(self, tokens_per_second: float, length: float) -> dict[str, float]:
        """MFU relative to both denominators: `mfu` (if `peak` is known) and `mfu_gemm`; the speed is of all devices."""
        done = (self.products + self.attention * length) * tokens_per_second / self.devices
        found = {} if self.peak is None else {"mfu": round(done / self.peak, 4)}
        return found | {"mfu_gemm": round(done / self.gemm, 4)}

    def describe(self) -> dict[str, Any]:
        """The formula and its constants, by name."""
        return {"formula": FORMULA, **asdict(self)}


def measure_rates(model: ModelConfig, vocab_size: int, device: torch.device, devices: int) -> Rates:
    """The constants for a model on so many devices like this one, which is measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return Rates(
        device_name=name,
        devices=devices,
        products=(products := training_flops(model, vocab_size, 0, 1)),
        attention=training_flops(model, vocab_size, 1, 1) - products,
        peak=data_sheet_peak(name) if device.type == "cuda" else None,
        gemm=gemm_rate(device.type, device.index),
    )


def data_sheet_peak(name: str) -> float | None:
    """Dense bfloat16 FLOPs a second of a device by its name; None if it is not in the table."""
    words = name.replace("-", " ").replace("_", " ").upper().split()
    fitting = [known for known in DENSE_BFLOAT16 if all(part in words for part in known.upper().split())]
    return DENSE_BFLOAT16[max(fitting, key=len)] if fitting else None


@cache
def gemm_rate(kind: str, index: int | None = None, size: int | None = None) -> float:
    """FLOPs a second of a square matrix product, best of five: bfloat16, size 8,192 on a GPU; float32, 256 on a CPU."""
    device = torch.device(kind) if index is None else torch.device(kind, index)
    size = size or (8192 if kind == "cuda" else 256)
    dtype = torch.bfloat16 if kind == "cuda" else torch.float32
    first, second = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        for _ in range(4):
            first @ second
        if kind == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, (time.perf_counter() - begun) / 4)
    return float(2 * size**3 / best)
