"""The whole chain over real text, and again with the driver killed twice: counts, seconds, equal bytes.

    python -m benchmarks.chain.shared_corpus [--data ../shared/data] [--work FOLDER] [--kills 0.25 0.6]

Runs `conf/pipelines/default.yaml` over every `*.jsonl.zst` and the archives of the shared data folder, with a quality
model trained from its labelled sources (`shared_references.yaml`). Then the run is repeated in another folder: the
driver is killed (SIGKILL, its Spark and Python workers with it) at the given shares of the first run's time and started
again after each kill. At the end the sha256 of every published file is compared. The run itself checks that its ledger
adds up; here the ledger is printed.

Cost: some five minutes of two cores (133 MB of text, two kills).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpora.references import read_references
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from benchmarks.tools.same_output import different, digests
from corpus.run_folder import RunFolder
from tamis.places import ROOT

NEEDS = ("data",)

DOMAINS = {
    "web": ["web_pages_*", "web_warc_pages", "en_web_*"],
    "news": ["en_news_*", "zh_news_articles"],
    "titles": ["zh_news_titles", "zh_short_clue"],
    "books": ["en_books_gutenberg", "zh_books_novels"],
    "reference": ["en_brown", "en_wiki_wikitext2", "zh_wiki_cmrc", "zh_academic_abstracts", "langid_udhr"],
    "tech": ["zh_tech_*", "zh_blog_weekly"],
    "law": ["zh_laws_versions", "zh_court_judgments"],
    "poetry": ["zh_poetry"],
    "mixed": ["en_mixed_nltk", "zh_app_descriptions"],
    "comments": ["zh_reviews", "zh_toxic_cold", "en_toxic_davidson", "zh_spam_mail"],
}
"""Domain → file stems of the shared data folder."""


def write_pipeline(data: Path, folder: Path) -> Path:
    """Writes the pipeline YAML: the default chain, inputs by domain, references by source."""
    inputs: list[dict[str, Any]] = [
        {"domain": d, "paths": [str(data / f"{stem}.jsonl.zst") for stem in stems]} for d, stems in DOMAINS.items()
    ]
    inputs.append({"domain": "archives", "paths": [str(data / "warc" / "*.gz")]})
    references = read_references(ROOT / "benchmarks" / "shared_references.yaml", data)["references"]
    body = {
        "extends": str(ROOT / "conf" / "pipelines" / "default.yaml"),
        "name": "shared_corpus",
        "inputs": inputs,
        "ingest": {"target_shard_bytes": 16 << 20},
        "stages": {"sentence_quality": {"training": {"references": references}}},
        "domains": {
            "law": {"skip": ["sentence_quality", "span_dedup"]},
            "poetry": {"skip": ["heuristic_filter", "sentence_quality", "span_dedup"]},
            "books": {"skip": ["sentence_quality"]},
        },
        "write_shards": {"target_shard_bytes": 32 << 20},
    }
    path = folder / "shared_corpus.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(body, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def start(pipeline: Path, out: Path) -> subprocess.Popen[bytes]:
    """Starts `tamis run` in a process group of its own."""
    command = [sys.executable, "-m", "cli.main", "run", str(pipeline), "--out", str(out), "--format", "json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> float:
    """Waits for a run; returns its CPU-seconds, those of its children included.

    Raises:
        SystemExit: it failed.
    """
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run failed with status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Runs, kills, compares, prints."""
    parser = command_line(__doc__, NEEDS, work="tamis-shared-corpus")
    parser.add_argument("--kills", type=float, nargs="*", default=[0.25, 0.6])
    options = parser.parse_args()
    require(NEEDS, options)
    pipeline = write_pipeline(options.data.resolve(), options.work)
    whole, killed = options.work / "whole", options.work / "killed"
    for folder in (whole, killed):
        shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    cpu = finish(start(pipeline, whole))
    seconds = time.monotonic() - started
    print_funnel(RunFolder(whole).ledger(), seconds, cpu)
    for share in options.kills:
        process = start(pipeline, killed)
        time.sleep(share * seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"killed the driver {share * seconds:.0f} s into a run")
    started = time.monotonic()
    finish(start(pipeline, killed))
    print(f"run again: finished in {time.monotonic() - started:.0f} s (the whole run took {seconds:.0f} s)")
    one, other = digests(whole), digests(killed)
    unequal = different(one, other)
    print(f"{len(one)} published files; different: {', '.join(unequal) or 'none'}")
    if unequal:
        raise SystemExit(1)


def print_funnel(ledger: dict[str, Any], seconds: float, cpu: float) -> None:
    """The run's figures as Markdown."""
    ingest = ledger["ingest"]
    print(
        f"{ingest['records']:,} records, {ingest['documents']:,} documents, {ingest['text_bytes']:,} bytes of text "
        f"in {seconds:.0f} s ({cpu:.0f} CPU-s of the driver's own tree); quarantined {ledger['quarantined']}"
    )
    print(table_head("stage | documents in | kept | dropped | bytes in | kept | dropped or cut | s"))
    for s in ledger["stages"]:
        dropped, lost = sum(s["documents_dropped"].values()), sum(s["bytes_dropped"].values())
        assert s["documents_in"] == s["documents_kept"] + dropped and s["bytes_in"] == s["bytes_kept"] + lost
        print(
            f"| {s['name']} | {s['documents_in']:,} | {s['documents_kept']:,} | {dropped:,} | {s['bytes_in']:,} | "
            f"{s['bytes_kept']:,} | {lost:,} | {s['seconds']:.1f} |"
        )


if __name__ == "__main__":
    main()
