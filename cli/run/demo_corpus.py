"""Lay the demo's texts out as a crawl would come: several formats, copies, edited copies and broken records.

Under a work folder it writes

    raw/<domain>/*      what the pipeline ingests; `DemoInput` says how each is read
    planted.jsonl       the truth: which documents are planted copies of which, and what was broken on purpose

The texts are real (see `filters/quality/packaged_texts.py` for each source and licence); the host names end in
`.example`, which names no host. Natural copies are plenty: four in ten reviews stand twice in their source.
Planted on top are exact copies (same text, other id) and near copies (one number, word or character in
about sixty changed), and a sample of what a crawl breaks: a gzip and a WARC file cut in the middle, bytes
that are not UTF-8, half a JSON object, records with no text.

Deterministic for given versions of the packages and of Python. Cost: about 15 s; nothing is done where the
folder is already complete.
"""

from __future__ import annotations

import gzip
import json
import platform
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cli.run.demo_files import Record, html_page, json_lines, warc_member, write_bytes, write_jsonl
from filters.quality import packaged_texts as sources
from filters.quality.packaged_references import (
    NEWS_LAST_DAY,
    is_reference_article,
    is_reference_news,
    is_reference_review,
)
from filters.quality.packaged_texts import Text

LAYOUT_VERSION = 1  # raise it when what is written changes
SEED = 20231
PAGES_IN_CHINESE = 120
CODE_BYTES = 4_000_000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DemoInput:
    """One input of the demo, as a pipeline's configuration names it.

    `path_glob` is relative to the work folder; `fields` say which column of a record is what (`text`, `id`, `url`, …).
    `documents` are the records to be read, planted copies included, those of a gzip file that is cut left out;
    `text_bytes` are their UTF-8 bytes.
    """

    domain: str
    path_glob: str
    format: str
    language: str
    licence: str
    fields: dict[str, str] = field(default_factory=dict)
    documents: int = 0
    text_bytes: int = 0


def build_demo_corpus(folder: Path, progress: Progress = lambda message: None) -> list[DemoInput]:
    """Write the demo's raw inputs below `folder`, unless they are complete there; returns them by domain.

    `raw/` and `planted.jsonl` in the folder are replaced; `progress` is told, in a few words, what is done next.

    Raises:
        TamisError: a package that holds text is not installed.
    """
    stamp = folder / "corpus.json"
    identity = _identity()
    if stamp.is_file():
        known = json.loads(stamp.read_text())
        if known["identity"] == identity:
            progress("the demo corpus is there already")
            return [DemoInput(**entry) for entry in known["inputs"]]
        stamp.unlink()
    shutil.rmtree(folder / "raw", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)

    planted: list[Record] = []
    inputs: list[DemoInput] = []
    for write in (_code, _docs_en, _news_en, _news_zh, _reviews_zh, _web, _wiki_en):
        progress(f"writing {write.__name__.lstrip('_')}")
        inputs.append(write(folder / "raw", planted))
    write_jsonl(folder / "planted.jsonl", planted)
    content = {"identity": identity, "inputs": [asdict(entry) for entry in inputs]}
    stamp.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    return inputs


def _identity() -> list[str]:
    """Return what the corpus is a function of."""
    packages = ("snownlp", "gensim", "numpy", "pandas", "scipy", "plotly", "pyarrow")
    versions = (f"{name} {version(name)}" for name in packages)
    return [f"layout {LAYOUT_VERSION}", f"python {platform.python_version()}", *versions]


# --------------------------------------------------------------------------------------------------- domains


def _code(raw: Path, planted: list[Record]) -> DemoInput:
    """Write standard library sources as JSONL in zstd; the text lies in `content`."""
    records = [
        {"path": text.name, "content": text.text, "licence": "PSF-2.0"} for text in sources.standard_library(CODE_BYTES)
    ]
    write_jsonl(raw / "code" / "stdlib.jsonl.zst", records)
    fields = {"text": "content", "id": "path", "licence": "licence"}
    return _input("code", "*.jsonl.zst", "jsonl", "code", "PSF-2.0", fields, records, "content")


def _docs_en(raw: Path, planted: list[Record]) -> DemoInput:
    """Write docstrings as Parquet; every twentieth of numpy's stands again in a second file."""
    scipy = sources.docstrings("scipy", "stats", "signal", "optimize", "linalg")
    by_package = {"numpy": sources.docstrings("numpy"), "pandas": sources.docstrings("pandas"), "scipy": scipy}
    records = [
        {"name": text.name, "text": text.text, "package": package, "licence": "BSD-3-Clause"}
        for package, texts in by_package.items()
        for text in _unique(texts)
    ]
    copies = [dict(record, name=f"mirror/{record['name']}") for record in records[:1000:20]]
    planted += [_planted("exact", "docs_en", r["name"], r["name"].removeprefix("mirror/")) for r in copies]
    for file, rows in (("docstrings.parquet", records), ("mirror.parquet", copies)):
        path = raw / "docs_en" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", row_group_size=1000)
    fields = {"text": "text", "id": "name", "source": "package", "licence": "licence"}
    return _input("docs_en", "*.parquet", "parquet", "en", "BSD-3-Clause", fields, records + copies, "text")


def _news_en(raw: Path, planted: list[Record]) -> DemoInput:
    """Write ABC news as plain text, one document a file, and ten edited copies of them."""
    texts = [text for position, text in enumerate(sources.abc_news()) if not is_reference_news(position)]
    copies = [text._replace(name=f"{text.name}-edited", text=edited(text.text, 1)) for text in texts[::20]]
    planted += [_planted("near", "news_en", f"{copy.name}.txt", f"{copy.name[:-7]}.txt") for copy in copies]
    for text in texts + copies:
        write_bytes(raw / "news_en" / f"{text.name}.txt", text.text.encode())
    records = [text._asdict() for text in texts + copies]
    return _input("news_en", "*.txt", "text", "en", "free for research", {}, records, "text")


def _news_zh(raw: Path, planted: list[Record]) -> DemoInput:
    """Write the newspaper as JSONL in zstd, a file of copies, and a gzip file that is cut in the middle."""
    articles = [(day, text) for day, text in sources.peoples_daily() if day <= NEWS_LAST_DAY]
    articles = articles[PAGES_IN_CHINESE:]  # the first ones are pages of the `web` domain
    records = [
        {
            "id": f"rmrb-{text.name}",
            "url": f"http://news.example/1998/01/{day:02d}/{text.name}.html",
            "title": text.title,
            "text": text.text,
        }
        for day, text in articles
    ]
    copies = _copies(records, "news_zh", every=25, planted=planted)
    cut_off = len(records) - 60
    half = cut_off // 2
    write_jsonl(raw / "news_zh" / "rmrb-0.jsonl.zst", records[:half])
    write_jsonl(raw / "news_zh" / "rmrb-1.jsonl.zst", records[half:cut_off])
    write_jsonl(raw / "news_zh" / "copies.jsonl.zst", copies)
    whole = gzip.compress(json_lines(records[cut_off:]), mtime=0)
    write_bytes(raw / "news_zh" / "cut.jsonl.gz", whole[: len(whole) * 2 // 3])
    planted.append(_planted("broken", "news_zh", "cut.jsonl.gz", "truncated gzip: the end is missing"))
    fields = {"text": "text", "id": "id", "url": "url"}
    licence = "research use"
    return _input("news_zh", "*.jsonl.*", "jsonl", "zh", licence, fields, records[:cut_off] + copies, "text")


def _reviews_zh(raw: Path, planted: list[Record]) -> DemoInput:
    """Write the reviews as JSONL in gzip, and a plain file with broken lines between good ones."""
    texts = sources.reviews("pos") + [text for text in sources.reviews("neg") if not is_reference_review(text)]
    records = [{"review_id": text.name, "content": text.text, "label": text.name.partition("-")[0]} for text in texts]
    good, rest = records[:200], records[200:]
    third = len(rest) // 3 + 1
    for part in range(3):
        path = raw / "reviews_zh" / f"reviews-{part}.jsonl.gz"
        write_jsonl(path, rest[part * third : (part + 1) * third])
    broken = {
        "invalid UTF-8: GBK bytes in a JSON string": '{"review_id": "b-0", "content": "房间不错"}'.encode("gbk"),
        "invalid UTF-8: a character cut in half": b'{"review_id": "b-1", "content": "\xe6\x88"}',
        "broken JSON: half an object": '{"review_id": "b-2", "content": "服务'.encode(),
        "broken JSON: not an object": b'["b-3", "content"]',
        "no text: the field is missing": b'{"review_id": "b-4", "label": "pos"}',
        "no text: the field is a number": b'{"review_id": "b-5", "content": 5}',
        "no text: the field is null": b'{"review_id": "b-6", "content": null}',
        "empty text": b'{"review_id": "b-7", "content": "  "}',
    }
    lines = [orjson.dumps(record) for record in good]
    for number, (reason, line) in enumerate(broken.items()):
        lines.insert(20 * (number + 1), line)
        planted.append(_planted("broken", "reviews_zh", f"b-{number}", reason))
    write_bytes(raw / "reviews_zh" / "broken.jsonl", b"\n".join(lines) + b"\n")
    fields = {"text": "content", "id": "review_id"}
    return _input("reviews_zh", "*.jsonl*", "jsonl", "zh", "MIT (snownlp)", fields, records, "content")


def _web(raw: Path, planted: list[Record]) -> DemoInput:
    """Write HTML pages as WARC: chapters of Python's reference, and news in GB18030; one archive is cut."""
    english = [
        (f"http://docs.example/reference/{text.name}.html", text, "utf-8") for text in sources.language_reference()
    ]
    chinese = [
        (f"http://news.example/1998/01/{day:02d}/{text.name}.html", text, "gb18030")
        for day, text in sources.peoples_daily()[:PAGES_IN_CHINESE]
    ]
    (raw / "web").mkdir(parents=True, exist_ok=True)
    last = english.pop()
    body = b"".join(warc_member(url, html_page(text, charset), charset) for url, text, charset in english + chinese)
    body += warc_member("http://docs.example/logo.png", b"\x89PNG\r\n\x1a\n", None)
    body += warc_member("http://docs.example/gone.html", b"<p>Not found</p>", "utf-8", status="404 Not Found")
    write_bytes(raw / "web" / "pages.warc.gz", body)
    ends = [warc_member(url, html_page(text, charset), charset) for url, text, charset in (english[0], last)]
    write_bytes(raw / "web" / "cut.warc.gz", ends[0] + ends[1][: len(ends[1]) // 2])
    planted.append(_planted("exact", "web", "cut.warc.gz#0", english[0][0]))
    planted.append(_planted("broken", "web", "cut.warc.gz", "truncated WARC: the second record is cut"))
    planted.append(_planted("broken", "web", "http://docs.example/logo.png", "not a page: an image"))
    planted.append(_planted("broken", "web", "http://docs.example/gone.html", "not a page: status 404"))
    records = [{"text": text.text} for _, text, _ in [*english, *chinese, english[0]]]
    return _input("web", "*.warc.gz", "warc", "mixed", "PSF-2.0; research use", {}, records, "text")


def _wiki_en(raw: Path, planted: list[Record]) -> DemoInput:
    """Write Wikipedia articles as plain JSONL, and edited copies of some."""
    texts = [text for position, text in enumerate(sources.wikipedia()) if not is_reference_article(position)]
    records = [
        {
            "id": text.name,
            "url": f"http://wiki.example/{text.title.replace(' ', '_')}",
            "title": text.title,
            "text": text.text,
        }
        for text in texts
        if text.text
    ]
    copies = _copies(records, "wiki_en", every=12, planted=planted)
    write_jsonl(raw / "wiki_en" / "articles.jsonl", records)
    write_jsonl(raw / "wiki_en" / "copies.jsonl", copies)
    fields = {"text": "text", "id": "id", "url": "url"}
    return _input("wiki_en", "*.jsonl", "jsonl", "en", "CC BY-SA 3.0", fields, records + copies, "text")


# ---------------------------------------------------------------------------------------------------- copies


def edited(text: str, seed: int) -> str:
    """Return a near copy: about one word in sixty (one character in sixty of Chinese) is dropped or doubled.

    An edit changes the five shingles around it: pairs have a Jaccard similarity of 0.82 to 0.99, mostly 0.88.
    """
    pieces = re.findall(r"[㐀-鿿]|[^\s㐀-鿿]+|\s+", text)
    rng = random.Random(f"{SEED}:{seed}")
    positions = [position for position, piece in enumerate(pieces) if not piece.isspace()]
    for position in rng.sample(positions, max(1, len(positions) // 60)):
        pieces[position] = "" if rng.random() < 0.5 else pieces[position] * 2
    return "".join(pieces)


def _copies(records: Sequence[Record], domain: str, every: int, planted: list[Record]) -> list[Record]:
    """Return copies of every n-th record, by turns exact and edited, and note them in `planted`."""
    copies = []
    for number, record in enumerate(records[::every]):
        kind = "near" if number % 2 else "exact"
        text = edited(record["text"], number) if kind == "near" else record["text"]
        address = f"{record['url']}?copy={number}"
        copies.append(record | {"id": f"{record['id']}-{kind}", "text": text, "url": address})
        planted.append(_planted(kind, domain, copies[-1]["id"], record["id"]))
    return copies


def _planted(kind: str, domain: str, name: str, of: str) -> Record:
    """Return a line of `planted.jsonl`: for a copy, of which document; for a broken record, how."""
    return {"kind": kind, "domain": domain, "id": name, "of": of}


def _input(
    domain: str,
    pattern: str,
    format: str,
    language: str,
    licence: str,
    fields: dict[str, str],
    records: Sequence[Record],
    text_key: str,
) -> DemoInput:
    """Return the description of a domain whose files hold these records."""
    size = sum(len(str(record[text_key]).encode()) for record in records)
    return DemoInput(domain, f"raw/{domain}/{pattern}", format, language, licence, fields, len(records), size)


def _unique(texts: Iterable[Text]) -> Iterator[Text]:
    """Yield texts whose names differ: a name that comes again (an overload) gets a number."""
    seen: dict[str, int] = {}
    for text in texts:
        count = seen[text.name] = seen.get(text.name, 0) + 1
        yield text if count == 1 else text._replace(name=f"{text.name}#{count}")
