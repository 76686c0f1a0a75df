"""Manifests as tasks are told of them: by place and content, read once, refused when another lies there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from corpus import files
from corpus.files import FileEntry, ManifestRef, commit, commit_by_content, load_manifest, write_table
from tamis.errors import TamisError


def table(*rows: int) -> pa.Table:
    return pa.table({"row": pa.array(rows, pa.int32())})


def entry(folder: Path, shard: int, *rows: int, kind: str = "x") -> FileEntry:
    return write_table(folder, f"attempt-{shard}", table(*rows), kind=kind, shard=shard)


def test_a_ref_opens_what_was_committed(tmp_path: Path) -> None:
    made = commit(tmp_path, {"key": "k"}, [entry(tmp_path, 1, 4, 5)])
    assert made.ref.folder == tmp_path and made.ref.open() == made
    loaded = load_manifest(tmp_path)
    assert loaded is not None and loaded.ref == made.ref, "the same for a driver that comes back"


def test_a_ref_knows_the_files_and_nothing_else(tmp_path: Path) -> None:
    first = entry(tmp_path, 1, 4)
    ref = commit(tmp_path, {"key": "k"}, [first]).ref
    assert commit(tmp_path, {"key": "other"}, [first]).ref == ref
    others = [replace(first, digest="0"), replace(first, path="y"), replace(first, shard=2), replace(first, table="y")]
    found = {files.Manifest(tmp_path, {}, (other,)).ref for other in others}
    assert len(found) == 4 and ref not in found


def test_a_manifest_that_was_committed_again_is_refused_in_one_sentence(tmp_path: Path) -> None:
    ref = commit(tmp_path, {}, [entry(tmp_path, 1, 4)]).ref
    commit(tmp_path, {}, [entry(tmp_path, 1, 5)])
    for told in (ref, ManifestRef(tmp_path / "nothing", ref.digest)):
        with pytest.raises(TamisError, match="has changed while the run went on; run again") as caught:
            told.open()
        assert str(told.folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_process_reads_a_manifest_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = commit(tmp_path, {}, [entry(tmp_path, 1, 4)]).ref
    read: list[Path] = []
    load = files.load_manifest
    monkeypatch.setattr(files, "load_manifest", lambda folder: read.append(folder) or load(folder))
    opened = [ManifestRef(ref.folder, ref.digest).open() for _ in range(3)]
    assert read == [tmp_path] and opened[0] is opened[2]


def test_files_named_by_their_content_are_the_same_whoever_wrote_them(tmp_path: Path) -> None:
    """So the tasks of a driver that comes back are the same texts, whose receipts are there."""
    first = commit_by_content(tmp_path, [entry(tmp_path, 2, 7), entry(tmp_path, 1, 4, 5)])
    again = commit_by_content(tmp_path, [entry(tmp_path, 1, 4, 5), entry(tmp_path, 2, 7)])
    assert (first.ref, first.files) == (again.ref, again.files)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f.path for f in first.files)
    assert [f.path for f in first.files] == [f"x-{f.shard:06d}-{f.digest[:16]}.parquet" for f in first.files]
    assert first.ref.open() == again
    changed = commit_by_content(tmp_path, [entry(tmp_path, 1, 4, 5), entry(tmp_path, 2, 8)])
    assert changed.ref != first.ref
    assert [f.path for f in changed.files][0] == first.files[0].path


def test_a_table_of_all_shards_is_read_in_their_order(tmp_path: Path) -> None:
    made = commit(tmp_path, {}, [entry(tmp_path, 2, 7), entry(tmp_path, 1, 4, 5), entry(tmp_path, 1, 9, kind="y")])
    found = made.read_all("x")
    assert found is not None and found.column("row").to_pylist() == [4, 5, 7]
    assert made.read_all("z") is None
    wide = pa.table({"row": pa.array([1], pa.int32()), "other": ["a"]})
    both = commit(tmp_path, {}, [write_table(tmp_path, "wide", wide, kind="x")])
    some = both.read_all("x", ["other"])
    assert some is not None and some.column_names == ["other"]
