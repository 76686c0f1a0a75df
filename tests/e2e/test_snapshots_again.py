"""A run against earlier snapshots reads little of them, may be killed, and refuses what cannot be compared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus import ids
from pipelines.spark.session import Cluster
from tamis.errors import TamisError
from tamis.progress import Silent
from tests.e2e.story import Story, digests_of
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def _old_sets(run: RunReader) -> dict[int, set[int]]:
    """Snapshot → the earlier documents whose text a run read."""
    found: dict[int, set[int]] = {}
    for path in (run.root / "stages" / "near_dedup" / "sets").rglob("*.parquet"):
        for doc_id in pq.read_table(path, columns=["doc_id"], partitioning=None).column(0).to_pylist():
            found.setdefault(ids.snapshot_of(doc_id), set()).add(doc_id)
    found.pop(int(run.run.ingest.body["snapshot"]), None)
    return found


def test_old_text_is_read_for_documents_in_undecided_edges_alone(story: Story) -> None:
    for number, run in enumerate(story.runs):
        read = {story.name(i) for found in _old_sets(run).values() for i in found}
        published = {name for name in story.kept if story.corpus.snapshot_of[name] < number}
        print(f"snapshot {number} read {len(read)} of {len(published)} published texts again")
        assert read <= published and len(read) < 0.5 * max(1, len(published)) + 1
        mine = [story.place[d.name] for d in story.corpus.corpora[number].documents]
        for name in read:
            assert story.similarity[story.place[name], mine].max() >= 0.4, f"{name} is like nothing new"
        facts = run.chain["near_dedup"].body["facts"]
        assert facts["sets_scanned"] >= len(read)


def test_shards_of_which_nothing_is_undecided_may_be_gone(story: Story, cluster: Cluster, tmp_path: Path) -> None:
    copies = []
    involved = {ids.shard_of(i) + (n << 24) for n, found in _old_sets(story.runs[2]).items() for i in found}
    removed = 0
    for number in (0, 1):
        copies.append(RunReader(tmp_path / f"run-{number}"))
        shutil.copytree(story.runs[number].root, copies[-1].root)
        shutil.rmtree(copies[-1].root / "shards" / "en")
        for shard in copies[-1].run.shards:
            if shard.number + (number << 24) not in involved:
                shard.path.unlink()
                removed += 1
    remembered = (copies[1].root / "run.json").read_text("utf-8")
    (copies[1].root / "run.json").write_text(remembered.replace(str(story.runs[0].root), str(copies[0].root)), "utf-8")
    assert removed >= 4
    again = execute(story.pipelines[2], tmp_path / "run-2", cluster, against=copies[1].root)
    assert again.file_digests() == story.runs[2].file_digests()


# -------------------------------------------------------------------------------------------- killed, moved, refused


class Dies(Silent):
    """A driver that dies when a step begins."""

    def __init__(self, step: str) -> None:
        self.step = step

    def start(self, label: str, total: int, weights: Sequence[int] = ()) -> None:
        if label == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def progress(cluster: Cluster) -> Iterator[None]:
    """Puts the cluster's progress back."""
    before = cluster.progress
    yield
    cluster.progress = before


def test_killed_again_and_again_it_comes_to_the_same_bytes(
    story: Story, cluster: Cluster, progress: None, tmp_path: Path
) -> None:
    out, against = tmp_path / "run", story.runs[0].root
    steps = (
        "exact_dedup: elect",
        "near_dedup: bands and buckets",
        "near_dedup: scan shingle sets",
        "near_dedup: verify and elect",
        "span_dedup: sentences",
        "span_dedup: decide",
        "write_shards",
    )
    for step in steps:
        cluster.progress = Dies(step)
        with pytest.raises(KeyboardInterrupt):
            execute(story.pipelines[1], out, cluster, against=against)
    cluster.progress = Silent()
    again = execute(story.pipelines[1], out, cluster, against=against)
    assert again.file_digests() == story.runs[1].file_digests()
    assert again.narrow_tables() == story.runs[1].narrow_tables()


def test_other_partitions_give_the_same_bytes(story: Story, cluster: Cluster, partitions: None, tmp_path: Path) -> None:
    cluster.spark.conf.set("spark.sql.shuffle.partitions", "7")
    again = execute(story.pipelines[2], tmp_path / "run", cluster, against=story.runs[1].root, batch_bytes=3_000)
    assert again.file_digests() == story.runs[2].file_digests()
    assert again.narrow_tables() == story.runs[2].narrow_tables()


def test_edges_beyond_memory_give_the_same_bytes(story: Story, cluster: Cluster, tmp_path: Path) -> None:
    again = execute(
        story.pipelines[2], tmp_path / "run", cluster, ["near_dedup.max_edges_in_memory=20"], against=story.runs[1].root
    )
    mine, theirs = (  # weights lie under a hash of all settings
        {name: d for name, d in run.file_digests().items() if not name.startswith("weights")}
        for run in (again, story.runs[2])
    )
    assert mine == theirs


def test_a_run_goes_on_with_an_ancestor_that_has_moved(story: Story, cluster: Cluster, tmp_path: Path) -> None:
    moved, out = tmp_path / "moved", tmp_path / "run-1"
    shutil.copytree(story.runs[0].root, moved)
    shutil.copytree(story.runs[1].root, out)
    again = execute(story.pipelines[1], out, cluster, against=moved)
    assert again.file_digests() == story.runs[1].file_digests()
    assert again.run.run_info()["against"] == str(moved)
    shutil.move(moved, tmp_path / "elsewhere")
    with pytest.raises(TamisError, match="which is not there any more; move it back") as error:
        execute(story.pipelines[2], tmp_path / "run-2", cluster, against=out)
    assert "\n" not in str(error.value)


REFUSED = {
    "its own number": (1, 1, [], "is snapshot 1, as is this run"),
    "a number of its chain": (1, 1, ["snapshot=0"], "snapshot 1, later than 0"),
    "the first one's number": (1, 2, ["snapshot=0"], "later than 0"),
    "other evidence": (0, 1, ["near_dedup.num_perm=256"], "num_perm 128 (here 256)"),
    "other spans": (0, 1, ["span_dedup.min_sentence_tokens=5"], "min_sentence_tokens 12 (here 5)"),
    "no run": (None, 1, [], "is not a run folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_in_one_sentence_and_leaves_nothing(
    story: Story, cluster: Cluster, tmp_path: Path, case: str
) -> None:
    earlier, pipeline, settings, expected = REFUSED[case]
    against = tmp_path / "nothing" if earlier is None else story.runs[earlier].root
    with pytest.raises(TamisError) as error:
        execute(story.pipelines[pipeline], tmp_path / "run", cluster, settings, against=against)
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_unfinished_ancestor_is_refused(story: Story, cluster: Cluster, tmp_path: Path) -> None:
    first = tmp_path / "run-0"
    execute(story.pipelines[0], first, cluster, until="exact_dedup")
    with pytest.raises(TamisError, match="without published shards; expected a finished run"):
        execute(story.pipelines[1], tmp_path / "run-1", cluster, against=first)
    shutil.rmtree(first)
    shutil.copytree(story.runs[0].root, first)
    execute(story.pipelines[0], first, cluster, ["near_dedup.threshold=0.8"], until="score")
    with pytest.raises(TamisError, match="published before its latest decisions; expected a finished run"):
        execute(story.pipelines[1], tmp_path / "run-1", cluster, against=first)


def test_an_ancestor_without_one_of_the_stages_is_refused(story: Story, cluster: Cluster, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer.yaml"
    fewer.write_text(story.pipelines[0].read_text("utf-8").replace("  span_dedup: {}\n", ""), "utf-8")
    execute(fewer, tmp_path / "run-0", cluster)
    with pytest.raises(
        TamisError, match="without the stage span_dedup; expected it, for this run's span_dedup to compare"
    ):
        execute(story.pipelines[1], tmp_path / "run-1", cluster, against=tmp_path / "run-0")


@pytest.mark.parametrize("earlier", [None, 0])
def test_going_on_against_another_run_is_refused(story: Story, cluster: Cluster, earlier: int | None) -> None:
    run = story.runs[2].root
    before = digests_of(run)
    with pytest.raises(TamisError) as error:
        against = None if earlier is None else story.runs[earlier].root
        execute(story.pipelines[2], run, cluster, against=against)
    assert f"was begun against {story.runs[1].root}; go on with --against" in str(error.value)
    assert digests_of(run) == before
