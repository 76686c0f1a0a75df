"""Commit, identity of bytes, ids, the run folder, and the files that a global decision scatters."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import ids
from corpus.files import (
    FileEntry,
    atomic_folder,
    commit,
    file_digest,
    load_manifest,
    manifest_path,
    read_json,
    retract,
    stable_hash,
    write_json,
    write_table,
)
from corpus.run_folder import FORMAT_VERSION, RunFolder
from corpus.schemas import DROPS, EDITS
from pipelines.spark.blocks import Block, pack, unpack
from pipelines.spark.frames import write_scattered
from pipelines.spark.shard_files import ShardFiles, write_by_shard
from tamis.errors import TamisError
from tamis.version import VERSION


def table(n: int, start: int = 0) -> pa.Table:
    return pa.table({"row": pa.array(range(start, start + n), pa.int32())})


def test_what_is_committed_is_loaded(tmp_path: Path) -> None:
    files = [write_table(tmp_path / "f", "x", table(n), kind="x", shard=n, info={"seen": n}) for n in (3, 1, 2)]
    made = commit(tmp_path / "f", {"key": "k", "é": [1, None]}, files)
    loaded = load_manifest(tmp_path / "f")
    assert loaded == made
    assert loaded.body == {"key": "k", "é": [1, None]}
    assert [f.shard for f in loaded.files] == [1, 2, 3]
    assert [pq.read_table(p).num_rows for p in loaded.paths("x")] == [1, 2, 3]
    assert loaded.read("x", 2).column("row").to_pylist() == [0, 1]
    assert loaded.read("x", 9) is None and loaded.read("y", 2) is None
    assert loaded.of_shard("x", 3)[0].info == {"seen": 3} and loaded.of_shard("y", 3) == []
    assert all(file_digest(tmp_path / "f" / f.path) == f.digest for f in loaded.files)
    assert load_manifest(tmp_path / "nothing") is None


def test_a_manifest_says_who_wrote_it_and_nothing_depends_on_it(tmp_path: Path) -> None:
    """One without it, of an earlier version, is the same manifest."""
    made = commit(tmp_path, {"key": "k"}, [write_table(tmp_path, "x", table(2), kind="x")])
    written = read_json(manifest_path(tmp_path))
    assert written.pop("tamis_version") == VERSION
    write_json(manifest_path(tmp_path), written)
    earlier = load_manifest(tmp_path)
    assert earlier == made and earlier.ref == made.ref and earlier.body == {"key": "k"}


def test_several_files_of_a_shard_are_read_as_one(tmp_path: Path) -> None:
    files = [write_table(tmp_path, stem, table(2, start), kind="x", shard=1) for stem, start in (("b", 5), ("a", 3))]
    manifest = commit(tmp_path, {}, files)
    assert manifest.read("x", 1).column("row").to_pylist() == [3, 4, 5, 6]


def test_finding_a_shards_files_does_not_walk_the_manifest(tmp_path: Path) -> None:
    """The driver asks once a shard, table and stage: a walk would cost the square of the number of shards."""
    entries = [FileEntry(kind, n, f"{kind}{n}", 1, 1, "") for n in range(20_000) for kind in ("drops", "edits")]
    manifest = commit(tmp_path, {}, entries)
    import time

    started = time.perf_counter()
    assert all(len(manifest.of_shard("edits", n)) == 1 for n in range(20_000))
    assert time.perf_counter() - started < 2


def test_debris_is_removed_and_what_counts_stays(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    kept = write_table(folder, "x", table(1), kind="x")
    write_table(folder, "x", table(1), kind="x")
    (folder / "receipts").mkdir()
    (folder / "receipts" / "a.json").write_text("{}")
    (folder / "manifest.json.1234.tmp").write_text("half")
    for _ in range(2):
        commit(folder, {}, [kept])
        assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {kept.path, "made.manifest.json"}


def test_a_manifest_inside_its_folder_as_tamis_0_1_wrote_it_counts_until_the_next_commit(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    made = commit(folder, {"key": "k"}, [write_table(folder, "x", table(2), kind="x")])
    manifest_path(folder).rename(folder / "manifest.json")
    assert load_manifest(folder) == made
    commit(folder, {"key": "other"}, made.files)
    assert not (folder / "manifest.json").exists() and manifest_path(folder).exists()
    for path in (manifest_path(folder), folder / "manifest.json"):
        path.write_text('{"files": []}')
        retract(folder)
        assert load_manifest(folder) is None


def test_a_manifest_whose_folder_was_removed_counts_no_more(tmp_path: Path) -> None:
    """People who remove a folder want it made again."""
    folder = tmp_path / "made"
    commit(folder, {}, [write_table(folder, "x", table(1), kind="x")])
    shutil.rmtree(folder)
    assert load_manifest(folder) is None


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the rename leaves no manifest, and the debris of the attempt is still there to be judged."""
    kept, stray = (write_table(tmp_path, "x", table(1), kind="x") for _ in range(2))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("the machine died")))
    with pytest.raises(OSError, match="the machine died"):
        commit(tmp_path, {}, [kept])
    monkeypatch.undo()
    assert load_manifest(tmp_path) is None
    assert (tmp_path / stray.path).exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", '"text"', "3", "null", "{}", '{"files": [{"nobody": 1}]}', '{"files": [3]}', "\udcff"]
)
def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path, text: str) -> None:
    manifest_path(tmp_path).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(TamisError, match="manifest.json is not a manifest of this version"):
        load_manifest(tmp_path)


def test_equal_tables_give_equal_bytes_whatever_their_chunks(tmp_path: Path) -> None:
    """Chunks would move the bounds of Parquet pages; enough random text is here for several pages."""
    rng = random.Random(1)
    texts = [None if i % 50 == 0 else rng.randbytes(rng.randrange(300)).hex() for i in range(12_000)]
    whole = pa.table({"text": texts, "number": range(12_000)})
    chunked = pa.concat_tables([whole.slice(0, 777), whole.slice(777, 5000), whole.slice(5777)])
    shifted = pa.concat_tables([whole.slice(0, 3), whole]).slice(3)
    assert chunked.equals(whole) and shifted.equals(whole)
    digests = {
        write_table(tmp_path, name, t, kind="x").digest for name, t in (("a", whole), ("b", chunked), ("c", shifted))
    }
    assert len(digests) == 1
    other = whole.set_column(1, "number", pa.array([1, *range(1, 12_000)]))
    assert write_table(tmp_path, "a", other, kind="x").digest not in digests


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    """Nothing else is left beside it."""
    folder = tmp_path / "below" / "model"
    for name in ("first", "second"):
        with atomic_folder(folder) as made:
            (made / name).touch()
    with pytest.raises(RuntimeError), atomic_folder(folder) as made:
        (made / "third").touch()
        raise RuntimeError
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == [
        "below",
        "below/model",
        "below/model/second",
    ]


def test_attempts_never_share_a_name(tmp_path: Path) -> None:
    assert len({write_table(tmp_path, "x", table(1), kind="x").path for _ in range(50)}) == 50
    assert write_table(tmp_path, "none", table(0), kind="x").rows == 0


def test_a_hash_of_json_knows_values_and_not_their_order() -> None:
    assert stable_hash({"a": 1, "b": [1, 2]}) == stable_hash({"b": [1, 2], "a": 1})
    others = [{"a": 1}, {"a": "1"}, {"a": None}, {"a": [1]}, {"é": 1}, [], {}, "", 0]
    assert len({stable_hash(value) for value in others}) == len(others)
    assert len(stable_hash({})) == 16


# ------------------------------------------------------------------------------------------------------------ ids


@given(st.integers(0, ids.MAX_SNAPSHOT), st.integers(0, ids.MAX_SHARD), st.integers(0, ids.MAX_ROW))
def test_ids_are_packed_and_unpacked(snapshot: int, shard: int, row: int) -> None:
    doc = ids.first_id(snapshot, shard) + row
    assert 0 <= doc < 2**63
    assert (ids.snapshot_of(doc), ids.shard_of(doc), ids.row_of(doc)) == (snapshot, shard, row)


def test_ids_sort_in_corpus_order() -> None:
    places = list(itertools.product((0, 1, ids.MAX_SNAPSHOT), (0, 1, ids.MAX_SHARD), (0, 1, ids.MAX_ROW)))
    found = [ids.first_id(snapshot, shard) + row for snapshot, shard, row in places]
    assert found == sorted(set(found)) and found[-1] == 2**63 - 1


def test_ids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TamisError, match=r"snapshot 4096 is outside 0\.\.4095"):
        ids.first_id(4096, 0)
    with pytest.raises(TamisError, match=r"document shard 16777216 is outside .* raise ingest.target_shard_bytes"):
        ids.first_id(0, 1 << 24)
    for snapshot, shard in ((-1, 0), (0, -1)):
        with pytest.raises(TamisError, match="is outside"):
            ids.first_id(snapshot, shard)


# ----------------------------------------------------------------------------------------------------- run folder


def test_a_run_folder_has_one_writer(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.locked(), pytest.raises(TamisError, match="is being written by another Tamis process"), run.locked():
        pass
    with run.locked():
        pass


def test_a_run_folder_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(TamisError, match="has no run.json"):
        run.run_info()
    with pytest.raises(TamisError, match="is not a finished ingest: run `tamis run"):
        _ = run.shards
    assert run.state() == {} and run.chain() == [] and run.evidence("x") is None
    write_json(tmp_path / "run.json", {"format_version": FORMAT_VERSION + 1})
    with pytest.raises(TamisError, match=f"has format version {FORMAT_VERSION + 1}; this Tamis reads {FORMAT_VERSION}"):
        run.run_info()
    for name, read in (("run.json", run.run_info), ("state.json", run.state)):
        for text in ("{half", "[]"):
            (tmp_path / name).write_text(text)
            with pytest.raises(TamisError, match=f"{name} is damaged"):
                read()


def test_a_run_folder_finds_shards_and_the_chain(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    entries = [
        FileEntry("documents", n, f"documents/web/{n}.parquet", rows, 1, "", {"domain": "web", "text_bytes": 9})
        for n, rows in ((0, 2), (1, 3))
    ]
    for entry in entries:
        (run.ingest_folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
        (run.ingest_folder / entry.path).touch()
    commit(run.ingest_folder, {"snapshot": 5}, entries)
    assert [s.first_id for s in run.shards] == [ids.first_id(5, 0), ids.first_id(5, 1)]
    assert run.shard_of_id(ids.first_id(5, 1) + 2).number == 1
    assert run.shard_of_id(ids.first_id(5, 1) + 3) is None
    assert run.shard_of_id(ids.first_id(4, 0)) is None
    decision = run.stage_folder("a", "decision", "k")
    commit(decision, {"key": "k"}, [])
    run.write_state(
        {
            "stages": [
                {"stage": "a", "decision": "stages/a/decision/k", "evidence": None},
                {"stage": "b", "decision": "stages/b/decision/gone", "evidence": "stages/a/decision/k"},
            ]
        }
    )
    with pytest.raises(TamisError, match="gone is gone; run the pipeline again"):
        run.chain()
    assert run.evidence("a") is None and run.evidence("b").body == {"key": "k"}
    run.write_state({"stages": run.state()["stages"][:1]})
    assert [(stage, m.folder) for stage, m in run.chain()] == [("a", decision)]


# -------------------------------------------------------------------------------------------------------- scatter


Scatter = Callable[[list[pa.RecordBatch], str, pa.Schema, Path], list[FileEntry]]


def scattered(batches: list[pa.RecordBatch], kind: str, schema: pa.Schema, folder: Path) -> list[FileEntry]:
    """By a DataFrame's tasks, which have sorted the rows."""
    return list(write_scattered(iter(batches), kind, schema.serialize().to_pybytes(), str(folder)))


def exchanged(batches: list[pa.RecordBatch], kind: str, schema: pa.Schema, folder: Path) -> list[FileEntry]:
    """By the last hop of an exchange, in which the blocks come last first."""
    blocks = [Block(0, kind, pa.Table.from_batches([batch])) for batch in batches[::-1]]
    return list(write_by_shard(unpack(0, pack(blocks)), ShardFiles(folder, {kind: schema})))


@pytest.mark.parametrize("scatter", [scattered, exchanged])
def test_a_file_a_shard_however_the_rows_come_in_batches(tmp_path: Path, scatter: Scatter) -> None:
    places = [(0, 3), (0, 9), (2, 0), (2, 1), (2, 5), (7, 4)]
    rows = pa.RecordBatch.from_pydict(
        {
            "doc_id": [ids.first_id(6, shard) + row for shard, row in places],
            "reason": ["near_duplicate"] * 6,
            "survivor": pa.array([1, None, 2, None, 3, 4], pa.int64()),
            "similarity": pa.array([0.5, None, 0.75, None, 1.0, 0.25], pa.float64()),
            "shard": pa.array([shard for shard, _ in places], pa.int32()),
        }
    )
    digests = set()
    for mask in range(1 << 5):
        cuts = [0, *(i + 1 for i in range(5) if mask >> i & 1), 6]
        batches = [rows.slice(a, b - a) for a, b in itertools.pairwise(cuts)] + [rows.slice(0, 0)]
        entries = scatter(batches, "drops", DROPS, tmp_path / str(mask))
        assert [(e.table, e.shard, e.rows) for e in entries] == [("drops", 0, 2), ("drops", 2, 3), ("drops", 7, 1)]
        digests.add(tuple(e.digest for e in entries))
    assert len(digests) == 1
    found = [pq.read_table(tmp_path / "31" / e.path) for e in entries]
    assert all(t.schema.equals(DROPS) for t in found)
    assert [(e.shard, r) for e, t in zip(entries, found, strict=True) for r in t.column("row").to_pylist()] == places
    assert found[1].column("survivor").to_pylist() == [2, None, 3]
    assert scatter([], "drops", DROPS, tmp_path / "none") == []
    assert scatter([rows.slice(0, 0)], "drops", DROPS, tmp_path / "none") == []


@pytest.mark.parametrize("scatter", [scattered, exchanged])
def test_a_missing_value_that_the_schema_requires_is_no_silent_null(tmp_path: Path, scatter: Scatter) -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "doc_id": [ids.first_id(0, 1)],
            "start": pa.array([None], pa.int32()),
            "end": pa.array([4], pa.int32()),
            "reason": ["x"],
            "replacement": pa.array([None], pa.string()),
            "sentences": pa.array([1], pa.int32()),
            "shard": pa.array([1], pa.int32()),
        }
    )
    with pytest.raises((ValueError, pa.ArrowInvalid)):
        scatter([batch], "edits", EDITS, tmp_path)
