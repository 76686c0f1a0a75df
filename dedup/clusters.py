"""Cells of embeddings: spherical k-means on a sample, and which cell each vector belongs to.

FAISS does both on a CPU, and on a GPU if its GPU build is installed; otherwise torch does them on a GPU. All backends
compute the same: centroids of length one, and for each vector the centroid of largest cosine. Above
`FLAT_CENTROIDS` there are two levels: coarse cells are trained first, each is divided by its own k-means, and a
vector is compared only with the centroids of the `PROBES` nearest coarse cells.

Which of two centroids is nearer may depend on the last bit of a sum, and that on how a library splits a matrix. So the
best two are compared again by a sum in a fixed order (`_nearer`), and the result does not depend on the batch size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dedup.vectors import Float32, unit, usable
from tamis.errors import ConfigError, TamisError
from tamis.extras import needs
from tamis.kernels import kernel

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
FLAT_CENTROIDS = 8192
"""Up to so many centroids a vector is compared with all of them."""
PROBES = 16
"""Above `FLAT_CENTROIDS`, a vector is compared with the centroids of so many coarse cells."""
LEAST_MEMBERS = 8
"""Vectors of the sample for each centroid, at least."""
ROWS_AT_ONCE = 65_536


class Backend(Protocol):
    """A library that trains centroids and searches them."""

    name: str

    def kmeans(self, vectors: Float32, cells: int, seed: int, iterations: int) -> Float32:
        """Centroids of length one, float32[cells, dim], some of them perhaps without a vector."""

    def searcher(self, centroids: Float32) -> Callable[[Float32], Int64]:
        """A function from vectors to their two nearest centroids, int64[n, 2]; -1 where there is only one."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The cells of vectors."""

    cell: Int32  # [n], the nearest centroid; -1 for a vector that is all zeros or not finite
    cosine: Float32  # [n], to that centroid; 0 where there is none


def open_backend(device: str = "auto", threads: int = 0) -> Backend:
    """The backend for "cpu"; "cuda", refused where there is no GPU; or "auto", a GPU if one can be used. `threads` are
    those of FAISS on a CPU, 0 for its default.

    Raises:
        ConfigError: FAISS is not installed, or there is no GPU although one is required.
    """
    if device != "cpu":
        on_gpu = _faiss_with_gpu() or _torch_with_gpu()
        if on_gpu is not None:
            return on_gpu
        if device == "cuda":
            raise ConfigError(
                "stages.semantic_clusters.device: found 'cuda', but neither FAISS nor torch sees a GPU here; expected "
                "one of 'auto', 'cpu'"
            )
    faiss = needs("faiss", extra="default", for_="stages.semantic_clusters")
    if threads:
        faiss.omp_set_num_threads(threads)
    return _Faiss(faiss, gpu=False)


# ------------------------------------------------------------------------------------------------------------ training


def train_centroids(
    sample: Float32, cells: int, seed: int, backend: Backend, *, iterations: int = 20, giant: float = 4.0
) -> Float32:
    """Centroids whose cells hold about equally many vectors: float32[k, dim], unit rows, in a deterministic order.

    `sample` is float32[n, dim], unit rows, in a deterministic order; a small one gives fewer than `cells`, an empty one
    none. Cells without a vector of the sample are dropped. A cell with more than `giant` times the mean is divided, and
    its parts again, at most three times (equal vectors cannot be divided).
    """
    sample = np.ascontiguousarray(sample[usable(sample)], np.float32)
    n, dim = sample.shape
    if not n:
        return np.zeros((0, dim), np.float32)
    wanted = max(1, min(cells, n // LEAST_MEMBERS))
    centroids = _trained(sample, wanted, seed, backend, iterations)
    for round_ in range(3):
        cell = assign(sample, centroids, backend).cell
        counts = np.bincount(cell, minlength=len(centroids))
        share = n / wanted
        large = np.flatnonzero(counts > giant * share)
        kept = [centroids[(counts > 0) & (counts <= giant * share)]]
        for c in large.tolist():
            members = sample[cell == c]
            parts = min(-(-len(members) // max(1, int(share))), len(np.unique(members, axis=0)), len(members))
            parted = (
                backend.kmeans(members, parts, seed + round_ + 1, iterations) if parts > 1 else centroids[c : c + 1]
            )
            kept.append(parted)
        centroids = np.concatenate(kept)
        if not len(large):
            break
    counts = np.bincount(assign(sample, centroids, backend).cell, minlength=len(centroids))
    return np.ascontiguousarray(centroids[counts > 0])


def _trained(sample: Float32, cells: int, seed: int, backend: Backend, iterations: int) -> Float32:
    """One k-means up to `FLAT_CENTROIDS`; above, √cells coarse cells first, each then divided in proportion to size."""
    if cells <= FLAT_CENTROIDS:
        return backend.kmeans(sample, cells, seed, iterations)
    coarse = backend.kmeans(sample, int(np.sqrt(cells)), seed, iterations)
    cell = assign(sample, coarse, backend).cell
    order = np.argsort(cell, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=len(coarse)))))
    parts = []
    for c in range(len(coarse)):
        members = sample[order[bounds[c] : bounds[c + 1]]]
        if len(members):
            own = max(1, min(round(cells * len(members) / len(sample)), len(members) // LEAST_MEMBERS))
            parts.append(backend.kmeans(members, own, seed + c, iterations) if own > 1 else unit_mean(members))
    return np.concatenate(parts)


def unit_mean(vectors: Float32) -> Float32:
    """The mean direction, float32[1, dim]; the first vector where they cancel out."""
    return of_length_one(vectors.sum(axis=0, dtype=np.float64)[None], vectors)


def of_length_one(centroids: npt.NDArray[Any], vectors: Float32) -> Float32:
    """Centroids of length one; where a cell's vectors cancel out, the first vector."""
    found = unit(centroids)
    found[~found.any(axis=1)] = vectors[0]
    return found


# ---------------------------------------------------------------------------------------------------------- assignment


def assign(vectors: Float32, centroids: Float32, backend: Backend) -> Assigned:
    """The nearest centroid of each vector; float32[n, dim] against unit rows float32[k, dim].

    Raises:
        ConfigError: vectors and centroids have different dimensions.
    """
    return Assigner(centroids, backend)(vectors)


class Assigner:
    """Assigns batch after batch to the same centroids."""

    def __init__(self, centroids: Float32, backend: Backend) -> None:
        self._centroids = np.ascontiguousarray(centroids, np.float32)
        self._search = backend.searcher(self._centroids) if len(centroids) else None

    def __call__(self, vectors: Float32) -> Assigned:
        """See `assign`."""
        if vectors.shape[1] != self._centroids.shape[1]:
            raise ConfigError(
                f"the embeddings have {vectors.shape[1]} dimensions and the centroids "
                f"{self._centroids.shape[1]}: they come "
                "from different models"
            )
        cell = np.full(len(vectors), -1, np.int32)
        cosine = np.zeros(len(vectors), np.float32)
        rows = np.flatnonzero(usable(vectors)) if self._search is not None else np.zeros(0, np.int64)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            batch = np.ascontiguousarray(vectors[part], np.float32)
            assert self._search is not None
            cell[part], cosine[part] = _nearer(batch, self._centroids, self._search(batch))
        return Assigned(cell, cosine)


@kernel
def _nearer(vectors, centroids, best):  # type: ignore[no-untyped-def]
    """The nearer of two centroids by a sum in a fixed order, the first if both are equally near; and its cosine."""
    cell = np.empty(len(vectors), np.int32)
    cosine = np.empty(len(vectors), np.float32)
    for i in range(len(vectors)):
        cell[i], cosine[i] = best[i, 0], np.float32(-2)
        for candidate in best[i]:
            if candidate < 0:
                continue
            total = 0.0
            for j in range(vectors.shape[1]):
                total += np.float64(vectors[i, j]) * np.float64(centroids[candidate, j])
            found = np.float32(total)
            if found > cosine[i] or (found == cosine[i] and candidate < cell[i]):
                cell[i], cosine[i] = candidate, found
    return cell, cosine


# ------------------------------------------------------------------------------------------------------------ backends


class _Faiss:
    """FAISS, on a CPU or on all GPUs that it sees."""

    def __init__(self, faiss: Any, gpu: bool) -> None:
        self._faiss, self._gpu = faiss, gpu
        self.name = "faiss-gpu" if gpu else "faiss-cpu"

    def kmeans(self, vectors: Float32, cells: int, seed: int, iterations: int) -> Float32:
        trainer = self._faiss.Kmeans(
            vectors.shape[1],
            cells,
            niter=iterations,
            seed=seed & 0x7FFFFFFF,
            spherical=True,
            gpu=self._gpu,
            verbose=False,
            min_points_per_centroid=1,
            max_points_per_centroid=1 << 30,
        )
        trainer.train(np.ascontiguousarray(vectors))
        return of_length_one(np.asarray(trainer.centroids, np.float32), vectors)

    def searcher(self, centroids: Float32) -> Callable[[Float32], Int64]:
        faiss, dim = self._faiss, centroids.shape[1]
        index = faiss.IndexFlatIP(dim)
        if len(centroids) > FLAT_CENTROIDS:
            lists = int(4 * np.sqrt(len(centroids)))
            quantizer = faiss.IndexFlatIP(dim)
            quantizer.add(self.kmeans(centroids, lists, 1, 10))
            index = faiss.IndexIVFFlat(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)
            index.is_trained, index.nprobe = True, PROBES
        if self._gpu:
            index = faiss.index_cpu_to_all_gpus(index)
        index.add(centroids)
        return lambda vectors: _two(index.search(vectors, min(2, len(centroids)))[1])


class _Torch:
    """The same by torch, for a GPU without FAISS's GPU build; on a CPU it is for tests."""

    def __init__(self, torch: Any, device: str) -> None:
        self._torch, self._device = torch, device
        self.name = f"torch-{device}"

    def kmeans(self, vectors: Float32, cells: int, seed: int, iterations: int) -> Float32:
        try:
            return self._kmeans(vectors, cells, seed, iterations)
        except self._torch.OutOfMemoryError as error:
            raise TamisError(
                f"stages.semantic_clusters: the GPU has no memory to train on {len(vectors):,} vectors; lower "
                "max_sample, or set device: cpu"
            ) from error

    def _kmeans(self, vectors: Float32, cells: int, seed: int, iterations: int) -> Float32:
        torch = self._torch
        data = torch.from_numpy(np.ascontiguousarray(vectors)).to(self._device)
        rng = np.random.default_rng(seed)
        first = np.sort(rng.choice(len(vectors), cells, replace=False))
        centroids = data[torch.from_numpy(first).to(self._device)].clone()
        for _ in range(iterations):
            cell = self._nearest(data, centroids, 1)[:, 0]
            order = torch.argsort(cell, stable=True)  # sums in a fixed order; the order of scatter-adds on a GPU varies
            counts = torch.bincount(cell, minlength=cells)
            totals = torch.zeros(len(data) + 1, data.shape[1], dtype=torch.float64, device=self._device)
            torch.cumsum(data[order].double(), dim=0, out=totals[1:])
            bounds = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
            sums = totals[bounds[1:]] - totals[bounds[:-1]]
            empty = (counts == 0).nonzero()[:, 0]
            centroids = torch.nn.functional.normalize(sums, dim=1).float()
            if len(empty):  # as in FAISS, an empty cell gets the slightly moved centroid of a large one
                largest = torch.argsort(counts, descending=True, stable=True)[: len(empty)]
                nudge = torch.from_numpy(rng.standard_normal((len(empty), data.shape[1])).astype(np.float32)) * 1e-3
                moved = centroids[largest] + nudge[: len(largest)].to(self._device)
                centroids[empty[: len(largest)]] = torch.nn.functional.normalize(moved, dim=1)
        return of_length_one(centroids.cpu().numpy(), vectors)

    def searcher(self, centroids: Float32) -> Callable[[Float32], Int64]:
        torch = self._torch
        on_device = torch.from_numpy(np.ascontiguousarray(centroids)).to(self._device)
        if len(centroids) <= FLAT_CENTROIDS or self._device == "cuda":  # on a GPU comparing with all is fast enough
            return lambda vectors: _two(self._found(vectors, on_device, min(2, len(centroids))))
        raise ConfigError(f"more than {FLAT_CENTROIDS} cells need FAISS on a CPU")

    def _found(self, vectors: Float32, centroids: Any, k: int) -> Int64:
        data = self._torch.from_numpy(np.ascontiguousarray(vectors)).to(self._device)
        return self._nearest(data, centroids, k).cpu().numpy().astype(np.int64)

    def _nearest(self, data: Any, centroids: Any, k: int) -> Any:
        """The k nearest centroids of each row, by blocks of about 2^28 cosines; blocks halve when memory runs out."""
        torch = self._torch
        rows = max(1, (1 << 28) // max(1, len(centroids)))
        parts, at = [], 0
        while at < len(data):
            try:
                parts.append((data[at : at + rows] @ centroids.T).topk(k, dim=1).indices)
            except torch.OutOfMemoryError as error:
                if rows == 1:
                    raise TamisError(
                        "stages.semantic_clusters: the GPU has no memory for one vector and its cosines; "
                        "set device: cpu"
                    ) from error
                rows = max(1, rows // 2)
                torch.cuda.empty_cache()
                continue
            at += rows
        return torch.cat(parts)


def _two(found: Int64) -> Int64:
    """Two columns, the second -1 where only one was found."""
    if found.shape[1] == 2:
        return np.ascontiguousarray(found, np.int64)
    return np.concatenate([found, np.full((len(found), 1), -1)], axis=1).astype(np.int64)


GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of GPU drivers: NVIDIA's, AMD's, and that of Windows' subsystem for Linux."""


def _faiss_with_gpu() -> Backend | None:
    """FAISS if it sees a GPU."""
    try:
        import faiss
    except ImportError:
        return None
    return _Faiss(faiss, gpu=True) if getattr(faiss, "get_num_gpus", lambda: 0)() > 0 else None


def _torch_with_gpu() -> Backend | None:
    """torch if it sees a GPU; without a device file torch is not even imported, which takes seconds."""
    if not any(os.path.exists(path) for path in GPU_DEVICES):
        return None
    try:
        import torch
    except ImportError:
        return None
    return _Torch(torch, "cuda") if torch.cuda.is_available() else None
