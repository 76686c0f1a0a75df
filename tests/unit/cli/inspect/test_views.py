"""The commands that read a run: `tamis stats`, `clusters`, `explain`, `sample`, `report`, in text and in JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.present import clean, one_line, removed, size
from corpus.reading.parquet_rows import take_rows
from corpus.reading.plain import plain
from corpus.reading.run_reader import view_text
from filters.pii.mask import masked
from tamis.errors import TamisError
from tests.support.runs import HOSTILE, KEPT_TEXT, URL, S, write_empty_run, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("views") / "run")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_empty_run(tmp_path_factory.mktemp("views") / "empty")


def text(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def found(*arguments: object) -> Any:
    return json.loads(text(*arguments, "--format", "json"))


def fails(*arguments: object) -> str:
    with pytest.raises(TamisError) as caught:
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_stats_json_is_the_promised_shape(run: Path) -> None:
    result = found("stats", run)
    assert set(result) >= {"stages", "quarantined"} and result["quarantined"] == {"bad_utf8": 1}
    keys = "name documents_in documents_kept documents_dropped bytes_in bytes_kept bytes_dropped bytes_rewritten"
    for stage in result["stages"]:
        assert list(stage) == [*keys.split(), "sentences_in", "sentences_kept", "sentences_dropped", "seconds"]
        assert stage["sentences_in"] == stage["sentences_kept"] + sum(stage["sentences_dropped"].values())
        assert stage["documents_in"] == stage["documents_kept"] + sum(stage["documents_dropped"].values())
        assert stage["bytes_in"] == stage["bytes_kept"] + sum(stage["bytes_dropped"].values())
    quality = result["stages"][3]
    assert quality["sentences_dropped"] == {"cut:low_quality_sentence": 1}
    assert quality["bytes_dropped"] == {"cut:low_quality_sentence": 21} and quality["bytes_rewritten"] == -8
    assert result["stages"][-1]["documents_kept"] == 4


def test_stats_text_shows_shares_reasons_and_the_report(run: Path) -> None:
    shown = text("stats", run)
    line = next(line for line in shown.splitlines() if line.startswith(" exact_dedup"))
    assert "−33.33 %" in line and "−29.89 %" in line  # 3 of 9 documents; the report's figure
    line = next(line for line in shown.splitlines() if line.startswith(" near_dedup"))
    assert "−11.11 %" in line and "−4.60 %" in line  # of raw, not of what came in: 18 of 391 bytes
    assert re.search(r"remains +44\.44 % +37\.34 % +31\.68 %", shown)
    assert "mostly_repeated_spans" in shown and "cut:repeated_paragraph" in shown and "bad_utf8" in shown
    assert re.search(r"exact_duplicate +3 +33\.33 % +9 +\d+ B", shown)  # documents, share, sentences, text
    assert re.search(r"cut:low_quality_sentence +1 +21 B", shown)


def test_stats_by_domain_and_source_tells_the_worst_first_and_adds_up(run: Path) -> None:
    stages = {s["name"]: s for s in found("stats", run)["stages"]}
    for by in ("domain", "source"):
        result = found("stats", run, "--by", by)
        rows = result["rows"]
        for name, stage in stages.items():
            mine = [row for row in rows if row["stage"] == name]
            assert sum(row["documents_in"] for row in mine) == stage["documents_in"]
            assert sum(row["documents_dropped"] for row in mine) == sum(stage["documents_dropped"].values())
            assert sum(row["bytes_dropped"] for row in mine) == sum(stage["bytes_dropped"].values())
        assert rows[0]["stage"] == "exact_dedup" and rows[0]["domain"] == "law"
        assert (rows[0]["documents_in"], rows[0]["documents_dropped"], rows[0]["limit"]) == (4, 2, None)
        assert [row["removed_fraction"] for row in rows] == sorted((r["removed_fraction"] for r in rows), reverse=True)
        assert ("source" in rows[0]) == (by == "source") and not any(row["alarm"] for row in rows)
    assert {row["source"] for row in rows} == {"<src>"} and result["alarm"]["default"]["max_removed_fraction"] == 0.95
    shown = text("stats", run, "--by", "source")
    assert re.search(r"exact_dedup +law +<src> +4 +50\.00 % ", shown) and re.search(r"near_dedup +web .* 95 %", shown)


def test_a_run_that_was_never_counted_by_source_says_so(tmp_path: Path) -> None:
    root = write_empty_run(tmp_path / "run")
    assert "No stage has removed anything" in text("stats", root, "--by", "domain")
    (root / "removal.json").unlink()
    assert "has no removal.json yet" in fails("stats", root, "--by", "domain")
    assert Path(found("report", root)["report"]).stat().st_size > 100_000


def test_the_empty_run_has_views_too(empty: Path) -> None:
    assert "No stage has removed anything" in text("stats", empty)
    assert found("stats", empty)["stages"][0]["documents_in"] == 0
    assert "no components" in text("clusters", empty)
    assert found("clusters", empty, "--kind", "exact")["clusters"] == []
    assert "has removed nothing at all" in fails("sample", empty, "--stage", "near_dedup", "--reason", "x")
    assert "holds no document" in fails("explain", empty, "0")
    assert Path(found("report", empty)["report"]).stat().st_size > 100_000


@pytest.mark.parametrize("command", [("stats",), ("clusters",), ("explain", "0"), ("report",)])
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert str(tmp_path) in fails(command[0], tmp_path, *command[1:])


def test_clusters_near(run: Path) -> None:
    result = found("clusters", run, "--top", 3)
    assert (result["count"], result["documents"], result["dropped"]) == (1, 2, 1)
    cluster = result["clusters"][0]
    assert (cluster["id"], cluster["size"], cluster["dropped"]) == ("2", 2, 1)
    assert cluster["similarity"] == {"min": 0.8125, "mean": 0.8125} and cluster["edges"]["count"] == 1
    survivor = cluster["survivors"][0]
    assert (survivor["doc_id"], survivor["source_id"], survivor["domain"]) == ("3", "d", "web")
    assert survivor["fate"]["stage"] == "span_dedup" and cluster["text"] == "near one two four"
    assert [m["source_id"] for m in cluster["members"]] == ["c"]
    assert "dropped later by span_dedup" in text("clusters", run)


def test_clusters_exact_cross_shards(run: Path) -> None:
    clusters = found("clusters", run, "--kind", "exact")["clusters"]
    assert [(c["id"], c["size"], c["survivors"][0]["domain"]) for c in clusters] == [("4", 3, "law"), ("0", 2, "web")]
    assert clusters[0]["members"][0] == {"doc_id": str(S), "source_id": "f", "domain": "law"}
    assert len(found("clusters", run, "--kind", "exact", "--top", 1)["clusters"]) == 1


def test_clusters_need_their_stage(tmp_path: Path) -> None:
    root = write_empty_run(tmp_path / "run")
    (root / "state.json").write_text("{}")
    assert "no decision of a stage 'near_dedup'" in fails("clusters", root)


def test_explain_a_kept_document(run: Path) -> None:
    (document,) = found("explain", run, "a")["documents"]
    assert document["doc_id"] == "0" and document["kept"] and document["found_by"] == "source_id"
    assert (document["file"], document["offset"], document["length"]) == ("a.jsonl", 0, 90)
    stages = {s["stage"]: s for s in document["stages"]}
    assert stages["exact_dedup"]["evidence"] == [{"low": str(-(1 << 62)), "high": 1}]  # past 2^53: a string
    assert stages["near_dedup"]["evidence"][0]["signature"].endswith("(64 bytes)")
    assert stages["sentence_quality"]["columns"] == {"quality": 0.25}
    cut, rewrite = stages["sentence_quality"]["edits"]
    assert (cut["text"], cut["replacement"]) == ("点击关注我们！", None)
    assert (rewrite["text"], rewrite["replacement"]) == ("*" * len("bob@example.org"), "<EMAIL>")
    (whole,) = found("explain", run, "a", "--personal-data")["documents"]
    (rewrite,) = [e for s in whole["stages"] for e in s["edits"] if e["replacement"]]
    assert (rewrite["text"], rewrite["replacement"]) == ("bob@example.org", "<EMAIL>")
    assert stages["span_dedup"]["edits"][0]["text"].strip() == "版权所有，翻印必究。"
    published = document["published"]
    assert (published["path"], published["row"]) == ("shards/web-0.parquet", 0)
    assert (published["split"], published["weight"], published["columns"]["frequency"]) == ("train", 1.5, 2)
    shown = text("explain", run, "a")
    assert "document 0  kept" in shown and "weight 1.5" in shown and "→ “<EMAIL>”" in shown


def test_explain_follows_survivors_to_the_end(run: Path) -> None:
    (document,) = found("explain", run, "2")["documents"]
    stages = {s["stage"]: s for s in document["stages"]}
    near = stages["near_dedup"]
    assert (near["decision"], near["reason"], near["survivor"]) == ("dropped", "near_duplicate", "3")
    assert near["similarity"] == 0.8125 and document["published"] is None
    assert [(f["doc_id"], f["kept"], f.get("stage")) for f in near["survivor_story"]] == [("3", False, "span_dedup")]
    assert stages["heuristic_filter"]["decision"] == "kept" and stages["score"]["decision"] == "dropped before"
    assert "dropped by span_dedup (mostly_repeated_spans)" in text("explain", run, "2")


def test_explain_the_first_decision_wins(run: Path) -> None:
    (document,) = found("explain", run, S)["documents"]
    decisions = {s["stage"]: s["decision"] for s in document["stages"]}
    assert decisions["exact_dedup"] == "dropped" and decisions["heuristic_filter"] == "dropped before"


def test_explain_lists_all_documents_of_a_url_and_ids_that_look_alike(run: Path) -> None:
    assert [d["doc_id"] for d in found("explain", run, URL)["documents"]] == ["4", str(S)]
    assert found("explain", run, "4")["documents"][0]["domain"] == "law"  # assigned by predicate
    assert "2 documents answer" in text("explain", run, URL)
    (seven,) = found("explain", run, "7")["documents"]
    assert (seven["found_by"], seven["doc_id"]) == ("source_id", str(S + 2))


def test_explain_the_quarantined_and_the_unknown(run: Path) -> None:
    result = found("explain", run, "b.jsonl#77")
    assert result["documents"] == [] and result["quarantined"][0]["reason"] == "bad_utf8"
    assert "byte 0xff" in text("explain", run, "b.jsonl#77")
    for key in ("b.jsonl#78", "nobody", str(S + 4), "²"):
        assert repr(key) in fails("explain", run, key)


def test_nothing_in_a_text_is_obeyed(run: Path) -> None:
    shown = text("explain", run, "g")
    assert "[red]not markup[/red]" in shown and "\x1b" not in shown and "\u202e" not in shown
    assert found("explain", run, "g")["documents"][0]["text"] == HOSTILE


def test_sample_documents_beside_their_survivors(run: Path) -> None:
    options = ("--stage", "near_dedup", "--reason", "near_duplicate")
    (sample,) = found("sample", run, *options)["samples"]
    assert (sample["doc_id"], sample["text"], sample["similarity"]) == ("2", "near one two three", 0.8125)
    assert sample["survivor"]["text"] == "near one two four" and not sample["survivor"]["fate"]["kept"]
    assert "near one two four" in text("sample", run, *options)


def test_sample_cuts_in_their_context(run: Path) -> None:
    for reason in ("low_quality_sentence", "cut:low_quality_sentence"):
        options = ("sample", run, "--stage", "sentence_quality", "--reason", reason)
        for more, shown in (((), KEPT_TEXT.replace("bob@example.org", "*" * 15)), (("--personal-data",), KEPT_TEXT)):
            (sample,) = found(*options, *more)["samples"]
            assert sample["before"] + sample["span"] + sample["after"] == shown
            assert sample["span"] == "点击关注我们！"
    assert "⟦点击关注我们！⟧" in text("sample", run, "--stage", "sentence_quality", "--reason", "low_quality_sentence")


def test_sample_names_what_exists(run: Path) -> None:
    said = fails("sample", run, "--stage", "span_dedup", "--reason", "nope")
    assert "mostly_repeated_spans (1)" in said and "cut:repeated_paragraph (1)" in said
    assert "exact_dedup" in fails("sample", run, "--stage", "nope", "--reason", "x")
    # the document that the heuristics dropped was an exact copy first: the ledger does not count it, nor does this
    assert "nothing at all" in fails("sample", run, "--stage", "heuristic_filter", "--reason", "too_short")


@pytest.mark.slow
def test_samples_depend_on_the_seed_and_on_nothing_else(run: Path) -> None:
    def ids(seed: int) -> list[str]:
        options = ("--stage", "exact_dedup", "--reason", "exact_duplicate", "-n", 1, "--seed", seed)
        return [s["doc_id"] for s in found("sample", run, *options)["samples"]]

    assert ids(0) == ids(0)
    assert {i for seed in range(24) for i in ids(seed)} == {"1", str(S), str(S + 3)}


def test_report_is_one_safe_file_and_the_same_each_time(run: Path, tmp_path: Path) -> None:
    measured = {
        "auc_examples": 0.967,
        "auc_alone": 0.883,
        "auc_documents": None,
        "examples": {"good": 3, "bad": 4},
        "suggested_cut": {"threshold": 0.37, "good_examples_below": 0.02, "bad_examples_below": 0.8},
        "reliability": [{"mean_score": 0.1, "good": 0.05}, {"mean_score": 0.9, "good": 0.97}],
    }
    evaluation = {"languages": {"zh": {"note": "not measured: <none>"}, "en": measured}, "sources": []}
    model = run / "models" / "sentence_quality" / "abc" / "evaluation.json"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text(json.dumps(evaluation))
    rows = [{"step": 0, "loss": 6.5, "tokens": 10}, {"step": 1, "loss": 6.0, "heldout_loss": 6.1, "tokens": 20}]
    metrics = run / "train" / "tiny" / "metrics.jsonl"
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"step": 2, "lo')
    summary = {"heldout_loss": 6.1, "unigram_loss": 6.3, "beats_unigram": True}
    metrics.with_name("summary.json").write_text(json.dumps(summary))
    first = Path(found("report", run, "--out", tmp_path / "deep" / "1.html")["report"]).read_text("utf-8")
    text("report", run, "--out", tmp_path / "2.html")
    assert first == (tmp_path / "2.html").read_text("utf-8")
    page = re.sub(r"<script>/\*.*?</script>", "", first, count=1, flags=re.DOTALL)
    assert len(page) < 100_000  # plotly's script, once, and nothing else is big
    assert not re.search(r"(src|href)\s*=|https?://|url\(|@import", page)
    assert "small &lt;run&gt;" in page and "<none>" not in page and "<src>" not in page
    parts = "The funnel,Baichuan 2,Why,Domains,Sources,Near copies,Quality,Frequency,Weights,Languages,Quarantine"
    for part in (*parts.split(","), "sentence-quality model", "Training on the shards", "Settings"):
        assert part in page, part
    script = re.findall(r"const FIGURES = (.*?);\nconst dark", page)[0]
    assert "<" not in script  # or a label could end the script
    figures = json.loads(script)
    assert any((t["x"], t["y"]) == (["2"], [1]) for f in figures.values() for t in f["data"])  # one component of two
    assert any((t["x"], t["y"]) == ([0.1, 0.9], [0.05, 0.97]) for f in figures.values() for t in f["data"])
    assert (
        re.search(r"en.*0\.9670.*0\.8830.*not measured.*80\.0 %", page, re.DOTALL)
        and "not measured: &lt;none&gt;" in page
    )
    assert any(t.get("name") == "unigram model, 6.300" for f in figures.values() for t in f["data"])
    assert set(figures) == set(re.findall(r'class="chart" id="([^"]+)"', page))


def test_personal_data_is_starred_byte_for_byte() -> None:
    texts = ["写信给 bob@example.org，电话１３８００１３８０００。", "", "nothing here", "bob@example.org"]
    stars = masked(texts)
    assert stars[1:] == ["", "nothing here", "*" * 15]
    assert stars[0] == f"写信给 {'*' * 15}，电话{'*' * 33}。" and len(stars[0].encode()) == len(texts[0].encode())
    assert masked([]) == []


def test_take_rows_over_row_groups_and_batches(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": range(10_000)}), path, row_group_size=6_000)
    rows = [0, 2047, 2048, 5999, 6000, 9999]
    assert [r["n"] for r in take_rows(path, rows, ["n"])] == rows
    assert take_rows(path, [], ["n"]) == []


def test_view_text_is_the_rule_of_views() -> None:
    from corpus.view import Edits, build_view
    from text.arrow import TextColumn

    edits = [(6, 9, None), (0, 3, "xy"), (5, 12, None), (0, 3, None)]  # later ones swallow earlier ones
    stored = "ab€磨坊主de"
    merged = Edits.none(1)
    import numpy as np

    for start, end, put in edits:
        merged = merged.merged(np.zeros(1, np.int32), np.array([start], np.int32), np.array([end], np.int32), [put])
    expected = build_view(TextColumn.from_texts([stored]), merged, np.zeros(1, np.int32)).column.bytes_at(0)
    rows = [{"start": s, "end": e, "replacement": r} for s, e, r in edits]
    assert view_text(stored, rows) == expected.decode("utf-8", "replace")


def test_numbers_and_texts() -> None:
    assert [size(n) for n in (0, 999, 1000, 24_182_966, 999_600, 10**12)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "24.2 MB",
        "1.00 MB",
        "1.00 TB",
    ]
    assert [removed(p) for p in (0, 0.001, 29.89)] == ["–", "−0.00 %", "−29.89 %"]
    assert clean("a\r\nb\tc\x07") == "a\nb\tc�" and one_line("a  b\n" + "c" * 50, 8) == "a b ccc…"
    assert plain("doc_id", 5) == "5" and plain("rows", 5) == 5 and plain("x", 1 << 60) == str(1 << 60)
    assert plain("x", True) is True and plain("x", float("nan")) is None
