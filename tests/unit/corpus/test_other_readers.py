"""What people open tables with opens the folders of a run as they are: no manifest, no debris stumbles anybody.

`tests/engine/test_publishing.py` holds a published run to having nothing but tables in them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from corpus.files import commit, place, write_table

FOLDERS = ("shards", "dropped", "weights/0123456789abcdef")
ROWS = 8


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The three published folders of a run, of two domains, a table each; what tasks left, and an empty folder."""
    for name in FOLDERS:
        folder = tmp_path / "run" / name
        entries = []
        for number, domain in enumerate(("web", "news")):
            rows = pa.table({"doc_id": range(number * 4, number * 4 + 4), "text": ["磨坊", "mill", "", None]})
            entry = write_table(folder, domain, rows, kind="published", shard=number)
            write_table(folder, domain, rows, kind="published", shard=number)
            entries.append(place(folder, entry, f"{domain}/{domain}-00000.parquet"))
        (folder / "receipts").mkdir()
        (folder / "receipts" / "a.json").write_text("{}")
        commit(folder, {"key": "k"}, entries)
    return tmp_path / "run"


def by_pandas(folder: Path) -> list[int]:
    import pandas

    return list(pandas.read_parquet(folder)["doc_id"])


def by_arrow(folder: Path) -> list[int]:
    import pyarrow.dataset

    return pyarrow.dataset.dataset(folder).to_table()["doc_id"].to_pylist()  # type: ignore[no-any-return]


def by_polars(folder: Path) -> list[int]:
    import polars

    return polars.scan_parquet(f"{folder}/").collect()["doc_id"].to_list()


def by_duckdb(folder: Path) -> list[int]:
    import duckdb

    return [row[0] for row in duckdb.sql(f"select doc_id from read_parquet('{folder}')").fetchall()]


@pytest.mark.parametrize("read", [by_pandas, by_arrow, by_polars, by_duckdb])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_reader_of_folders_finds_the_committed_rows(run: Path, name: str, read: Callable[[Path], list[int]]) -> None:
    assert sorted(read(run / name)) == list(range(ROWS))


@pytest.mark.slow
def test_datasets_opens_the_shards_by_either_way(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    for path, more in (("parquet", {"data_dir": str(run / "shards")}), (str(run / "shards"), {})):
        found = datasets.load_dataset(path, cache_dir=str(tmp_path), **more)["train"]
        assert sorted(found["doc_id"]) == list(range(ROWS))


@pytest.mark.parametrize("name", ["manifest.json", "_manifest.json", ".manifest.json"])
def test_why_the_manifest_lies_beside_the_folder(run: Path, name: str) -> None:
    """Whatever it is called inside, one reader stumbles; should that change, it may move back."""
    (run / "shards" / name).write_text("{}")
    with pytest.raises(Exception, match="file extensions"):
        by_polars(run / "shards")
