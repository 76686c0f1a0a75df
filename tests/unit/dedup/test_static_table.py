"""The static table equals a dictionary of pieces, in any script, and says of the packaged one what it should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpus.package_data import package_file
from dedup import static_table
from dedup.static_table import StaticTable, build, packaged_folder
from tamis.errors import ConfigError
from tests.oracles.embed import SlowTable, cosines
from tests.support.examples import examples
from text.arrow import TextColumn

VOCABULARY = [
    ("<pad>", 0.0),
    ("<unk>", 0.0),
    (",", -3.0),
    ("▁", -3.2),
    ("s", -5.0),
    ("▁the", -4.0),
    ("the", -6.0),
    ("▁The", -5.0),
    ("▁THE", -9.0),
    ("▁cat", -9.0),
    ("cat", -8.0),
    ("▁Paris", -11.0),
    ("▁PARIS", -12.5),
    ("▁don't", -6.0),
    ("▁2024", -10.0),
    ("中", -7.0),
    ("▁中国", -9.0),
    ("中国", -9.5),
    ("国人", -10.0),
    ("中国人民共和", -12.0),
    ("中国人民共和国", -12.0),
    ("民", -8.0),
    ("人民", -9.0),
    ("ます", -8.5),
    ("▁ｶﾅ", -12.0),
    ("カナ", -13.0),
    ("𠮷野", -13.0),
    ("家", -9.0),
    ("▁ﬁn", -12.0),
    ("กา", -10.0),
    ("▁naïve", -12.0),
    ("▁중국", -11.0),
    ("国a", -8.0),
    ("。", -4.0),
    ("▁x中", -9.0),
]
"""Control pieces, pieces of one spelling, runs of 2, 6 and 7, a run that is only the beginning of another."""
WORDS = [name.lstrip("▁") for name, _ in VOCABULARY if not name.startswith("<")]
WORDS += [
    "dog",
    "Zürich",
    "龍",
    "𠀀",
    "㌖",
    "㍿",
    "﷽",
    "é",
    "e\u0301",
    "\u0301",
    "x",
    "0",
    "中国人",
    "人民共",
    "!",
    "\0",
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.sampled_from([" ", " ", "，"]), max_size=20).map("".join)


def package(folder: Path, dim: int, seed: int = 1) -> SlowTable:
    """A package's folder, and the twin of its table."""
    from safetensors.numpy import save_file

    folder.mkdir()
    random = np.random.default_rng(seed)
    n = len(VOCABULARY)
    arrays = {
        "mapping": random.integers(0, 20, n),
        "weights": random.random(n, np.float32) + np.float32(0.5),
        "embeddings": random.integers(-127, 128, (20, dim)).astype(np.int8),
    }
    save_file(arrays, folder / "model.safetensors")
    tokenizer = {"model": {"type": "Unigram", "unk_id": 1, "vocab": [list(entry) for entry in VOCABULARY]}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    return SlowTable.of(VOCABULARY, *(arrays[name] for name in ("mapping", "weights", "embeddings")))


@pytest.fixture(scope="module", params=[3, 70])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[StaticTable, SlowTable]:
    """The table and its twin: of three numbers a vector, and of more than one word of bits."""
    folder = tmp_path_factory.mktemp("package") / "model"
    twin = package(folder, request.param)
    return build(folder), twin


@examples(300)
@given(st.lists(TEXTS | st.text(max_size=12), max_size=5))
@example([])
@example(["", " ", "!?", "\0"])
@example(["㌖", "㍿㍿", "x﷽"])
@example(["中国人民共和国人民", "中国 人民", "中国人民共", "𠮷野家"])
def test_vectors_equal_those_of_a_dictionary(tables: tuple[StaticTable, SlowTable], texts: list[str]) -> None:
    table, twin = tables
    found = table.encode(TextColumn.from_texts(texts))
    assert found.dtype == np.float32 and found.shape == (len(texts), table.dim)
    for text, vector in zip(texts, found, strict=True):
        np.testing.assert_allclose(vector, twin.encode(text), atol=2e-4, err_msg=repr(text))


def test_what_the_oracle_rests_on(tables: tuple[StaticTable, SlowTable]) -> None:
    """That the cases say something: runs, folded spellings and unknown words are told apart."""
    table, twin = tables
    assert ("中", "国") in twin.entries and ("中", "国", "人", "民", "共", "和") in twin.entries
    assert ("don",) not in twin.entries and ("the",) in twin.entries and ("s",) not in twin.entries
    assert not any(len(key) == 7 for key in twin.entries)
    texts = ["the", "cat", "dog", "中国", "国中", "龍", "THE cat", "中国人民共和", "中国人民"]
    found = table.encode(TextColumn.from_texts(texts))
    assert (np.abs(found).max(axis=1) > 1e-4).all()
    assert table.dim < 64 or len({row.tobytes() for row in found}) == len(texts), "3 numbers have but 8 directions"
    assert (table.encode(TextColumn.from_texts(["", " ,. ", "。"])) == 0).all(), "no tokens"


def test_a_column_in_the_middle_of_its_bytes(tables: tuple[StaticTable, SlowTable]) -> None:
    table, _ = tables
    whole = TextColumn.from_texts(["the cat", "中国人民", "", "dog e\u0301"])
    middle = TextColumn(whole.offsets[1:4], whole.data)
    assert (table.encode(middle) == table.encode(whole)[1:3]).all()


def test_saved_and_mapped_again_it_is_the_same_and_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    package(tmp_path / "package", 7)
    table = build(tmp_path / "package")
    for name in ("one", "two"):
        build(tmp_path / "package").save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files and files == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    mapped = StaticTable.load(tmp_path / "one")
    for name in StaticTable.__slots__:
        np.testing.assert_array_equal(getattr(mapped, name), getattr(table, name))
    column = TextColumn.from_texts(["the cat 中国人民 dog", ""])
    assert mapped.dim == 7 and mapped.encode(column).tobytes() == table.encode(column).tobytes()


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_table, "package_file", lambda *_: None)
    with pytest.raises(ConfigError, match="needs tokenlearn-static-model, .*tamis.default.") as error:
        packaged_folder()
    assert "\n" not in str(error.value)


# -------------------------------------------------------------------------------------------------- the packaged one


@pytest.fixture(scope="module")
def packaged() -> StaticTable:
    if package_file("static_model", "model/model.safetensors") is None:
        pytest.skip("needs the package tokenlearn-static-model")
    return build(packaged_folder())


SAID_TWICE = [
    ("The company reported record profits in the third quarter.", "Third-quarter earnings of the firm hit a record."),
    ("The doctor told the patient to take the medicine twice a day.", "Take two doses of medicine daily, doctors say."),
    ("Heavy rain caused floods in the southern provinces.", "Floods hit the provinces of the south after rainfall."),
    ("公司第三季度利润创下历史新高。", "该公司三季度盈利创历史纪录。"),
    ("医生嘱咐病人每天服药两次。", "病人应按照医生的要求每日吃两次药。"),
    ("暴雨在南方多个省份引发洪水。", "南方省份连降大雨，洪水泛滥。"),
]


@pytest.mark.slow
def test_what_is_said_in_other_words_is_nearer_than_what_is_not(packaged: StaticTable) -> None:
    for low, high in ((0, 3), (3, 6)):
        first, second = (
            packaged.encode(TextColumn.from_texts([pair[side] for pair in SAID_TWICE[low:high]])) for side in (0, 1)
        )
        found = cosines(first, second)
        same, other = np.diag(found), found[~np.eye(3, dtype=bool)]
        assert same.min() > other.max() + 0.1, found


@examples(100)
@given(st.lists(TEXTS | st.text(max_size=30), min_size=1, max_size=5))
@example(["", "\0", "，。", "𠀀𠀁", "㌖" * 50, "a" * 5000])
def test_the_packaged_table_is_finite_whatever_the_text(packaged: StaticTable, texts: list[str]) -> None:
    found = packaged.encode(TextColumn.from_texts(texts))
    assert found.shape == (len(texts), packaged.dim) and np.isfinite(found).all()


def test_the_packaged_table_knows_common_words_of_both_languages(packaged: StaticTable) -> None:
    taken = (packaged.rows >= 0).sum()
    assert taken > 100_000 and taken * 2 <= len(packaged.rows), "open addressing needs room"
    related = packaged.encode(TextColumn.from_texts(["doctor", "physician", "Beijing", "医生", "医师", "香蕉"]))
    found = cosines(related, related)
    assert found[0, 1] > 0.4 > found[0, 2] and found[3, 4] > 0.4 > found[3, 5], found.round(2)
