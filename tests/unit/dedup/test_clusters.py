"""Cells: each vector in its nearest, none empty, none giant; the same by FAISS and by torch, by any batch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup import clusters
from dedup.clusters import LEAST_MEMBERS, Assigner, Backend, _Torch, assign, open_backend, train_centroids, unit_mean
from dedup.vectors import usable
from tamis.errors import ConfigError, TamisError
from tests.oracles.embed import cosines
from tests.support.examples import examples

BACKENDS = ["faiss", "torch"]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return named(request.param)


def named(name: str) -> Backend:
    if name == "torch":
        return clusters._Torch(pytest.importorskip("torch"), "cpu")
    pytest.importorskip("faiss")
    return open_backend("cpu", threads=1)


def rows(random: np.random.Generator, n: int, dim: int, centres: int = 0, spread: float = 0.3) -> np.ndarray:
    """Unit vectors, about some centres or anywhere."""
    found = random.standard_normal((n, dim))
    if centres:
        middle = random.standard_normal((centres, dim))
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        found = middle[random.integers(0, centres, n)] + spread * found / np.sqrt(dim)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def check(centroids: np.ndarray, sample: np.ndarray, backend: Backend) -> np.ndarray:
    """What is true of all centroids; the sizes of their cells."""
    assert centroids.dtype == np.float32 and centroids.shape[1] == sample.shape[1]
    np.testing.assert_allclose(np.linalg.norm(centroids.astype(float), axis=1), 1, atol=1e-5)
    sizes = np.bincount(assign(sample, centroids, backend).cell, minlength=len(centroids))
    assert (sizes > 0).all(), "an empty cell"
    return sizes


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(("n", "dim", "cells", "centres"), [(4000, 16, 100, 80), (900, 64, 30, 0), (500, 3, 62, 5)])
def test_cells_hold_about_their_share(backend: Backend, n: int, dim: int, cells: int, centres: int) -> None:
    sample = rows(np.random.default_rng(3), n, dim, centres)
    centroids = train_centroids(sample, cells, 7, backend, giant=4.0)
    sizes = check(centroids, sample, backend)
    assert cells * 0.8 <= len(centroids) <= cells * 1.5
    assert sizes.max() <= 4 * n / cells
    again = train_centroids(sample.copy(), cells, 7, backend, giant=4.0)
    assert again.tobytes() == centroids.tobytes(), "equal input, equal centroids"
    assert train_centroids(sample, cells, 8, backend).tobytes() != centroids.tobytes(), "the seed counts"


class Unlucky:
    """k-means whose first centroids all lie elsewhere, so that nine of ten vectors share a cell."""

    name = "unlucky"

    def __init__(self, backend: Backend, first: np.ndarray) -> None:
        self.searcher, self._backend, self._first = backend.searcher, backend, first
        self.calls: list[tuple[int, int]] = []

    def kmeans(self, vectors: np.ndarray, cells: int, seed: int, iterations: int) -> np.ndarray:
        self.calls.append((len(vectors), cells))
        return self._first if len(self.calls) == 1 else self._backend.kmeans(vectors, cells, seed, iterations)


def test_a_giant_cell_is_divided(backend: Backend) -> None:
    random = np.random.default_rng(5)
    near = rows(random, 1800, 16, 1, 0.05)
    sample = np.concatenate([near, rows(random, 200, 16)]).astype(np.float32)
    bad_start = sample[-40:]
    centroids = train_centroids(sample, 40, 1, Unlucky(backend, bad_start), giant=3.0)
    assert check(centroids, sample, backend).max() <= 3 * 2000 / 40
    undivided = Unlucky(backend, bad_start)
    assert check(train_centroids(sample, 40, 1, undivided, giant=1e9), sample, backend).max() > 1500
    assert undivided.calls == [(2000, 40)]
    equal = np.concatenate([np.repeat(near[:1], 1800, axis=0), sample[-200:]])
    sizes = check(train_centroids(equal, 40, 1, Unlucky(backend, bad_start), giant=3.0), equal, backend)
    assert sizes.max() >= 1800, "equal vectors cannot be divided, and that is all right"


def test_cells_that_a_division_leaves_empty_are_dropped() -> None:
    faiss = named("faiss")
    sample = rows(np.random.default_rng(5), 400, 16)

    class Repeating(Unlucky):
        def kmeans(self, vectors: np.ndarray, cells: int, seed: int, iterations: int) -> np.ndarray:
            return np.repeat(vectors[:1], cells, axis=0)

    centroids = train_centroids(sample, 40, 1, Repeating(faiss, sample[:40]), giant=3.0)
    assert check(centroids, sample, faiss).tolist() == [400]


def test_a_small_sample_has_fewer_cells(backend: Backend) -> None:
    random = np.random.default_rng(1)
    for n in (1, 2, LEAST_MEMBERS - 1, LEAST_MEMBERS, 3 * LEAST_MEMBERS):
        sample = rows(random, n, 8)
        centroids = train_centroids(sample, 50, 1, backend)
        check(centroids, sample, backend)
        assert 1 <= len(centroids) <= max(1, n // LEAST_MEMBERS)
    assert train_centroids(np.zeros((0, 8), np.float32), 50, 1, backend).shape == (0, 8)
    assert train_centroids(np.full((9, 8), np.nan, np.float32), 50, 1, backend).shape == (0, 8)
    one = rows(random, 1, 8)
    np.testing.assert_allclose(train_centroids(one, 1, 1, backend), one, atol=1e-6)


def test_equal_vectors_are_one_cell(backend: Backend) -> None:
    vector = rows(np.random.default_rng(2), 1, 8)
    for n, cells in ((1, 1), (9, 1), (100, 5), (400, 50)):
        centroids = train_centroids(np.repeat(vector, n, axis=0), cells, 1, backend)
        assert centroids.shape == (1, 8)
        np.testing.assert_allclose(centroids, vector, atol=1e-3)


def test_vectors_that_cancel_out_have_a_centroid(backend: Backend) -> None:
    vector = rows(np.random.default_rng(2), 1, 8)
    both = np.concatenate([vector, -vector])
    for sample in (np.repeat(both, 20, axis=0), np.tile(both, (20, 1))):
        for cells in (1, 2):
            check(train_centroids(sample, cells, 1, backend), sample, backend)


def test_rows_without_a_direction_are_left_out(backend: Backend) -> None:
    sample = rows(np.random.default_rng(4), 200, 8)
    spoilt = np.insert(sample, [0, 7, 200], [[0.0] * 8, [np.nan] * 8, [np.inf, *[1.0] * 7]], axis=0)
    assert usable(spoilt).sum() == 200
    expected = train_centroids(sample, 10, 1, backend)
    assert train_centroids(spoilt.astype(np.float32), 10, 1, backend).tobytes() == expected.tobytes()


def test_the_mean_direction() -> None:
    np.testing.assert_allclose(unit_mean(np.array([[3, 0], [0, 4]], np.float32)), [[0.6, 0.8]], atol=1e-7)
    np.testing.assert_allclose(unit_mean(np.array([[0, 1], [0, -1]], np.float32)), [[0, 1]])


def test_torch_finds_cells_as_good_as_those_of_faiss() -> None:
    sample = rows(np.random.default_rng(9), 6000, 32, 70, 0.5)
    quality = {}
    for name in BACKENDS:
        backend = named(name)
        centroids = train_centroids(sample, 60, 3, backend)
        quality[name] = float(assign(sample, centroids, backend).cosine.mean())
        at_random = assign(sample, sample[:60], backend).cosine.mean()
        assert quality[name] > at_random + 0.02, "better than vectors of the sample"
    assert quality["torch"] == pytest.approx(quality["faiss"], rel=0.02)


# ---------------------------------------------------------------------------------------------------------- assignment


@examples(150)
@given(st.integers(0, 2**31), st.integers(0, 60), st.integers(1, 30), st.integers(2, 24), st.sampled_from(BACKENDS))
def test_each_vector_is_in_its_nearest_cell(seed: int, n: int, k: int, dim: int, name: str) -> None:
    random = np.random.default_rng(seed)
    vectors, centroids = rows(random, n, dim), rows(random, k, dim)
    bad = random.random(n) < 0.2
    vectors[bad] = random.choice(np.array([0, np.nan, np.inf], np.float32), int(bad.sum()))[:, None]
    found = assign(vectors, centroids, named(name))
    assert found.cell.dtype == np.int32 and found.cosine.dtype == np.float32
    assert (found.cell[bad] == -1).all() and (found.cosine[bad] == 0).all()
    exact = (vectors[~bad].astype(float) @ centroids.astype(float).T).astype(np.float32)
    assert found.cell[~bad].tolist() == exact.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.cosine[~bad], exact.max(axis=1, initial=-2), atol=2e-7)


def test_of_equal_centroids_the_first_is_taken(backend: Backend) -> None:
    random = np.random.default_rng(6)
    centroids = rows(random, 5, 16)
    for order in ([0, 1, 2, 0, 1, 2], [3, 4, 0, 0, 4, 3]):
        doubled = centroids[order]
        vectors = rows(random, 300, 16)
        exact = (vectors.astype(float) @ doubled.astype(float).T).astype(np.float32)
        found = assign(vectors, doubled, backend).cell
        assert found.tolist() == exact.argmax(axis=1).tolist()
        assert set(found.tolist()) == {0, 1, 2}


def test_batches_change_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not where two centroids differ by the last bits of a float only."""
    random = np.random.default_rng(8)
    centroids = np.repeat(rows(random, 20, 48), 2, axis=0)
    centroids[1::2, 0] = np.nextafter(centroids[1::2, 0], np.float32(2))
    vectors = rows(random, 700, 48)
    whole = assign(vectors, centroids, backend)
    for batch in (1, 3, 64, 699):
        monkeypatch.setattr(clusters, "ROWS_AT_ONCE", batch)
        found = assign(vectors, centroids, backend)
        assert found.cell.tolist() == whole.cell.tolist() and found.cosine.tobytes() == whole.cosine.tobytes()
    one = [Assigner(centroids, backend)(vectors[i : i + 1]) for i in range(50)]
    assert [int(a.cell[0]) for a in one] == whole.cell[:50].tolist()
    exact = (vectors.astype(float) @ centroids.astype(float).T).astype(np.float32)
    assert whole.cell.tolist() == exact.argmax(axis=1).tolist()


def test_both_backends_say_the_same() -> None:
    random = np.random.default_rng(12)
    vectors, centroids = rows(random, 2000, 64, 40), rows(random, 300, 64, 40)
    one, other = (assign(vectors, centroids, named(name)) for name in BACKENDS)
    assert one.cell.tolist() == other.cell.tolist() and one.cosine.tobytes() == other.cosine.tobytes()


def test_no_vectors_or_no_cells(backend: Backend) -> None:
    nothing = np.zeros((0, 8), np.float32)
    some = rows(np.random.default_rng(1), 3, 8)
    assert len(assign(nothing, some, backend).cell) == 0
    assert assign(some, nothing, backend).cell.tolist() == [-1, -1, -1]
    assert assign(some, some[:1], backend).cell.tolist() == [0, 0, 0], "of one centroid there is no second"


def test_other_dimensions_are_one_error(backend: Backend) -> None:
    random = np.random.default_rng(1)
    for n in (0, 4):
        with pytest.raises(ConfigError, match="9 dimensions and the centroids 8: they come") as error:
            assign(rows(random, n, 9), rows(random, 3, 8), backend)
        assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------------------- two levels


@pytest.mark.slow
def test_two_levels_find_nearly_all_that_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = named("faiss")
    random = np.random.default_rng(10)
    sample = rows(random, 24_000, 24, 300, 0.6)
    flat = assign(sample, train_centroids(sample, 900, 1, faiss), faiss).cosine.mean()
    monkeypatch.setattr(clusters, "FLAT_CENTROIDS", 100)
    centroids = train_centroids(sample, 900, 1, faiss)
    found = assign(sample, centroids, faiss)
    assert 600 <= len(centroids) <= 1400
    assert (np.bincount(found.cell, minlength=len(centroids)) > 0).all()
    exact = cosines(sample, centroids)
    assert (found.cell == exact.argmax(axis=1)).mean() >= 0.95
    assert found.cosine.mean() == pytest.approx(flat, rel=0.03)
    for batch in (1000, 7777):
        monkeypatch.setattr(clusters, "ROWS_AT_ONCE", batch)
        assert assign(sample, centroids, faiss).cell.tolist() == found.cell.tolist()


def test_torch_on_a_cpu_has_one_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "FLAT_CENTROIDS", 2)
    torch = named("torch")
    with pytest.raises(ConfigError, match="FAISS"):
        torch.searcher(rows(np.random.default_rng(1), 3, 4))


# ------------------------------------------------------------------------------------------------------------- devices


def test_what_is_asked_for_and_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_torch_with_gpu", lambda: None)
    faiss: Any = pytest.importorskip("faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    with pytest.raises(ConfigError, match="found 'cuda'") as error:
        open_backend("cuda")
    assert "\n" not in str(error.value)
    assert open_backend("auto").name == open_backend("cpu").name == "faiss-cpu"
    monkeypatch.setitem(sys.modules, "faiss", None)
    for device in ("auto", "cpu"):
        with pytest.raises(ConfigError, match=r"needs faiss, .*pip install 'tamis\[default\]'") as error:
            open_backend(device)
        assert "\n" not in str(error.value)


class _Full:
    """A stand-in for torch on a GPU without memory: everything is torch's, but for one function that has none left."""

    def __init__(self, torch: Any, name: str) -> None:
        self._torch, self._name = torch, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            return self._none_left
        return getattr(self._torch, name)

    def _none_left(self, *_: Any, **__: Any) -> Any:
        raise self._torch.OutOfMemoryError("CUDA out of memory")


def test_a_gpu_without_memory_is_one_sentence() -> None:
    torch = pytest.importorskip("torch")
    vectors = np.eye(8, dtype=np.float32)
    with pytest.raises(TamisError, match="no memory to train on 8 vectors; lower max_sample, or set device: cpu"):
        _Torch(_Full(torch, "cumsum"), "cpu").kmeans(vectors, 2, 1, 3)
    with pytest.raises(TamisError, match="no memory for one vector and its cosines"):
        _Torch(_Full(torch, "cat"), "cpu")._nearest(_Hungry(torch), torch.eye(8), 1)


class _Hungry:
    """Rows of which not even one fits."""

    def __init__(self, torch: Any) -> None:
        self._error = torch.OutOfMemoryError

    def __len__(self) -> int:
        return 4

    def __getitem__(self, rows: Any) -> Any:
        raise self._error("CUDA out of memory")
