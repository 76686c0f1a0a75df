"""Running again: what is done stays done, a changed threshold repeats no scan, a killed or refused run does no harm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tamis
from corpus.files import MANIFEST
from corpus.run_folder import RunFolder
from pipelines.run import publish
from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tamis.errors import TamisError
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute

pytestmark = [pytest.mark.spark, pytest.mark.slow]

CHANGED = [
    "near_dedup.threshold=0.9",
    "heuristic_filter.cjk.min_text_chars=null",
    "domains.news.heuristic_filter.cjk.min_text_chars=null",
]


class NoSpark(Cluster):
    """A cluster that must not be needed."""

    @property
    def spark(self) -> Any:
        raise AssertionError("Spark was started")


def _files(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every file of a run: when it was written, and the bytes of small ones that may be written again."""
    again = {"run.json", "ledger.json", "removal.json", "state.json"}
    found = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = str(path.relative_to(root))
        found[name] = (0, path.read_bytes()) if name in again else (path.stat().st_mtime_ns, None)
    return found


def test_a_finished_run_run_again_starts_no_spark_and_writes_nothing(finished: RunReader, small_inputs: Path) -> None:
    before = _files(finished.root)
    execute(small_inputs, finished.root, NoSpark())
    assert _files(finished.root) == before


def test_a_run_whose_manifests_lie_inside_their_folders_is_read_and_gone_on_with(
    finished: RunReader, small_inputs: Path, tmp_path: Path
) -> None:
    """As Tamis 0.1 left it; nothing is done again."""
    root = tmp_path / "earlier"
    shutil.copytree(finished.root, root)
    for path in list(root.rglob(f"*.{MANIFEST}")):
        path.rename(path.with_name(path.name.removesuffix(f".{MANIFEST}")) / MANIFEST)
    before = _files(root)
    execute(small_inputs, root, NoSpark())
    assert _files(root) == before and (root / "shards" / MANIFEST).exists()
    opened = tamis.open_run(root)
    assert opened.documents.count_rows() == len(finished.published()) == opened.weights.count_rows()
    (root / "shards" / MANIFEST).rename(root / "moved")
    with pytest.raises(TamisError, match="no finished shards"):
        opened.documents  # noqa: B018


def test_a_second_writer_is_refused_in_one_sentence(finished: RunReader, small_inputs: Path) -> None:
    runner = Runner(load_pipeline(small_inputs), finished.root, NoSpark(), small_inputs.parent)
    with RunFolder(finished.root).locked(), pytest.raises(TamisError, match="being written by another") as error:
        runner.run()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", ["ingest.target_shard_bytes=50000", "snapshot.x=1", "ingest.sample=0.5"])
def test_other_input_into_a_used_folder_is_refused_and_leaves_it_as_it_was(
    finished: RunReader, small_inputs: Path, change: str
) -> None:
    before = _files(finished.root)
    with pytest.raises(TamisError) as error:
        execute(small_inputs, finished.root, NoSpark(), [change])
    assert "\n" not in str(error.value)
    assert _files(finished.root) == before


def test_another_file_among_the_inputs_is_refused(finished: RunReader, small_inputs: Path) -> None:
    config = load_pipeline(small_inputs, inputs=[f"forum={small_inputs.parent}/raw/forum/part-00.jsonl"])
    with pytest.raises(TamisError, match="other input"):
        Runner(config, finished.root, NoSpark(), small_inputs.parent).run()


@pytest.fixture(scope="module")
def changed(
    finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> RunReader:
    """The finished run, moved elsewhere and run again with other thresholds."""
    out = tmp_path_factory.mktemp("changed") / "run"
    shutil.copytree(finished.root, out)
    with pytest.MonkeyPatch.context() as patch:  # the driver dies when it has placed the shards
        patch.setattr(publish, "commit", _killed)
        with pytest.raises(KeyboardInterrupt):
            execute(small_inputs, out, cluster, CHANGED)
    execute(small_inputs, out, cluster)
    assert RunReader(out).file_digests() == finished.file_digests(), "the old thresholds publish the old bytes again"
    return execute(small_inputs, out, cluster, CHANGED)


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


def _counts(run: RunReader, stage: str) -> tuple[int, int]:
    evidence = run.run.evidence(stage)
    assert evidence is not None
    return evidence.body["scanned"], evidence.body["reused"]


def test_a_changed_threshold_repeats_no_scan_of_its_own_stage(finished: RunReader, changed: RunReader) -> None:
    for stage in ("eligibility", "exact_dedup", "language", "heuristic_filter"):
        old, new = finished.run.evidence(stage), changed.run.evidence(stage)
        assert old is not None and new is not None
        assert (new.folder.name, new.body, new.files) == (old.folder.name, old.body, old.files), stage


def test_a_later_stage_scans_only_what_came_back_to_life(finished: RunReader, changed: RunReader) -> None:
    for stage, skipped in (("sentence_quality", {"pages", "code"}), ("near_dedup", set()), ("span_dedup", {"code"})):
        # Contenders of exact_dedup that lose later are scanned, too; they are the same in both runs.
        old = {row["doc_id"] for row in finished.evidence(stage)}
        new = {row["doc_id"] for row in changed.evidence(stage)}
        assert set(changed.before(stage)) - new <= {i for i in changed.documents if changed.domain(i) in skipped}
        scanned, reused = _counts(changed, stage)
        assert (scanned, reused) == (len(new - old), len(new & old)), stage
        assert scanned and reused, stage


def test_a_changed_threshold_gives_what_a_fresh_run_with_it_gives(
    changed: RunReader, finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path: Path
) -> None:
    fresh = execute(small_inputs, tmp_path / "run", cluster, CHANGED)
    assert changed.file_digests() == fresh.file_digests() != finished.file_digests()
    assert changed.narrow_tables() == fresh.narrow_tables()
    ledgers = [json.loads((r.root / "ledger.json").read_text("utf-8")) for r in (changed, fresh)]
    for ledger in ledgers:
        for stage in ledger["stages"]:
            del stage["seconds"]
    assert ledgers[0] == ledgers[1]


def test_a_new_curve_rewrites_neither_text_nor_decisions(
    finished: RunReader, small_inputs: Path, cluster: Cluster, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.root, out)
    before = {n: f for n, f in _files(out).items() if not n.endswith(".json")}
    again = execute(small_inputs, out, cluster, ["weights.default.cap=1.0"])
    after = {n: f for n, f in _files(out).items() if not n.endswith(".json")}
    assert before.items() <= after.items()
    new = {n.split("/")[0] for n in after.keys() - before.keys()}
    assert new == {"weights"} and again.run.state()["weights"] != finished.run.state()["weights"]
