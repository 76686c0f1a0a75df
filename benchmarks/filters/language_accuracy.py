"""What script rules and detection by line add to lid.176, and cost: accuracy by file and on short pieces, rates.

    python -m benchmarks.filters.language_accuracy [--data ../shared/data] [--pieces 2000] [--repeats 3]

*Documents*: share of a file's documents that get its language. *Short pieces*: sentences of 10 to 30 characters, longer
ones cut to such a length at a place drawn by a seed, as long as they hold a letter of the file's script; for each
language of `langid_udhr`, lines cut likewise. *Lines*: for how many lines of a file a language is told, how many of
those are right, and how well the share told from the sample fits the share over all lines. *Mixtures*: lines of an
English and of a Chinese document shuffled together; the error of `language_share`. *Rates* are of one thread over all
files, the fastest repeat.
"""

from __future__ import annotations

import random
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.corpora.labelled_languages import FILES, load
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from filters.language.detect import detect, detect_lines
from filters.language.lid import identify
from text.arrow import TextColumn
from text.segment import sentences

NEEDS = ("data",)

SHORT_FILES = (
    "en_news_reuters",
    "en_mixed_nltk",
    "en_toxic_davidson",
    "zh_wiki_cmrc",
    "zh_app_descriptions",
    "zh_court_judgments",
    "zh_poetry",
    "zh_short_clue",
    "zh_news_titles",
    "zh_toxic_cold",
)
"""Files beside those of `language_sample`."""
PIECE_FILES = (
    "zh_news_articles",
    "zh_wiki_cmrc",
    "zh_books_novels",
    "zh_reviews",
    "zh_academic_abstracts",
    "zh_laws_versions",
    "zh_poetry",
    "zh_blog_weekly",
    "en_news_bbc",
    "en_mixed_nltk",
    "en_books_gutenberg",
    "en_wiki_wikitext2",
)
LINE_FILES = (
    "langid_udhr",
    "en_news_bbc",
    "en_books_gutenberg",
    "zh_news_articles",
    "zh_laws_versions",
    "web_pages_en",
    "web_pages_zh",
    "web_pages_multilingual",
)
SHORT, LONGER = (10, 30), (30, 100)
SEED = 20261123

Labelled = tuple[TextColumn, list[str]]


def main() -> None:
    """Prints the tables."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--pieces", type=int, default=2000, help="short pieces a file")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    require(NEEDS, options)
    files = {name: read(options.data, name) for name in dict.fromkeys((*FILES, *SHORT_FILES, *PIECE_FILES))}
    print_accuracy("documents", ((name, files[name]) for name in files))
    print_accuracy("pieces of 10 to 30 characters", short_pieces(files, PIECE_FILES, options.pieces, SHORT))
    print_accuracy("langid_udhr, pieces by characters", udhr_pieces(files["langid_udhr"]))
    print_lines((name, files[name]) for name in LINE_FILES)
    print_mixtures(files["en_news_bbc"][0], files["zh_news_articles"][0])
    print_rates([column for column, _ in files.values()], options.repeats)


def read(data: Path, name: str) -> Labelled:
    """A file's texts and languages; traditional Chinese is Chinese."""
    column, languages = load(data / f"{name}.jsonl.zst")
    return column, [language.removesuffix("-hant") for language in languages]


def print_accuracy(title: str, sets: Iterable[tuple[str, Labelled]]) -> None:
    """Prints one row a set: accuracy of lid.176 alone and with script rules, and the answers that the rules changed."""
    print("\n" + table_head(f"{title} | texts | lid.176, % | with rules, % | set right | set wrong"))
    for name, (column, languages) in sets:
        gold = np.array(languages)
        before = np.array(identify(column)[0].to_pylist()) == gold
        after = np.array(detect(column).codes.to_pylist()) == gold
        changed = f"{(after & ~before).sum()} | {(before & ~after).sum()}"
        rates = f"{100 * before.mean():.2f} | {100 * after.mean():.2f}"
        print(f"| {name} | {len(gold):,} | {rates} | {changed} |", flush=True)


def short_pieces(
    files: dict[str, Labelled], names: Sequence[str], n: int, characters: tuple[int, int]
) -> list[tuple[str, Labelled]]:
    """`n` pieces of each file, drawn by `SEED` from its documents in one language."""
    return [(name, _pieces(*files[name], n, characters, f"{SEED} {name}")) for name in names]


def udhr_pieces(udhr: Labelled) -> list[tuple[str, Labelled]]:
    """All lines of the declarations, cut to two lengths."""
    column, languages = udhr
    found: list[tuple[str, Labelled]] = []
    for low, high in (SHORT, LONGER):
        draw = random.Random(SEED)
        texts, gold = [], []
        for i, language in enumerate(languages):
            for line in column.text_at(i).splitlines():
                piece = _cut(line.strip(), low, high, draw)
                if piece and any(map(str.isalpha, piece)):
                    texts.append(piece)
                    gold.append(language)
        found.append((f"{len(set(languages))} languages, {low} to {high}", (TextColumn.from_texts(texts), gold)))
    return found


def _pieces(column: TextColumn, languages: list[str], n: int, characters: tuple[int, int], seed: str) -> Labelled:
    draw = random.Random(seed)
    spans = sentences(column)
    cut, documents = spans.as_column(column), np.repeat(np.arange(len(column)), np.diff(spans.ptr))
    order = list(range(len(cut)))
    draw.shuffle(order)
    texts, gold = [], []
    for i in order:
        piece = _cut(cut.text_at(i).strip(), *characters, draw)
        if piece and _is_written_in(piece, languages[documents[i]]):
            texts.append(piece)
            gold.append(languages[documents[i]])
            if len(texts) == n:
                break
    return TextColumn.from_texts(texts), gold


def _cut(text: str, low: int, high: int, draw: random.Random) -> str | None:
    """The text if it has `low` to `high` characters, such a part of a longer one, None for a shorter one."""
    if len(text) < low:
        return None
    if len(text) <= high:
        return text
    size = draw.randint(low, high)
    start = draw.randint(0, len(text) - size)
    return text[start : start + size]


def _is_written_in(text: str, language: str) -> bool:
    """Whether a text has a letter of its language's script: "P.S." on a Chinese page is not Chinese."""
    prefix = "CJK UNIFIED" if language == "zh" else "LATIN"
    return any(unicodedata.name(char, "").startswith(prefix) for char in text)


def print_lines(sets: Iterable[tuple[str, Labelled]]) -> None:
    """Prints one row a file: lines and shares."""
    heads = "lines of | lines | told, % | of bytes | told right, % | share, sample | all lines | mean error"
    print("\n" + table_head(heads))
    for name, (column, languages) in sets:
        lines = detect_lines(column)
        codes = np.array(lines.codes.to_pylist())
        gold = np.repeat(np.array(languages), np.diff(lines.ptr))
        told = codes != "und"
        size = lines.lines.lengths
        sampled, whole = detect(column).shares, detect(column, sample_bytes=0).shares
        error = np.nanmean(np.abs(sampled - whole))
        print(
            f"| {name} | {len(codes):,} | {100 * told.mean():.1f} | {100 * size[told].sum() / size.sum():.1f} "
            f"| {100 * (codes == gold)[told].mean():.2f} | {np.nanmean(sampled):.3f} | {np.nanmean(whole):.3f} "
            f"| {error:.4f} |",
            flush=True,
        )


def print_mixtures(english: TextColumn, chinese: TextColumn) -> None:
    """Prints how well the share of a language is told in lines of two documents, one of each language, shuffled."""
    draw = random.Random(SEED)
    texts, truth = [], []
    for i in range(min(len(english), len(chinese))):
        parts = [[s for s in column.text_at(i).splitlines() if s.strip()] for column in (english, chinese)]
        letters = [sum(len(c.encode()) for line in part for c in line if c.isalpha()) for part in parts]
        lines = parts[0] + parts[1]
        draw.shuffle(lines)
        texts.append("\n".join(lines))
        truth.append(letters[0] / max(1, sum(letters)))
    found = detect(TextColumn.from_texts(texts))
    codes, seconds = found.codes.to_pylist(), found.seconds.to_pylist()
    expected = np.array([t if code == "en" else 1 - t for t, code in zip(truth, codes, strict=True)])
    error = np.abs(found.shares - expected)
    larger = np.mean([(code == "en") == (t > 0.5) for t, code in zip(truth, codes, strict=True)])
    both = np.mean([{a, b} == {"en", "zh"} for a, b in zip(codes, seconds, strict=True)])
    heads = "mixtures | texts | named by the larger, % | both named, % | mean error of share | 95th percentile"
    print("\n" + table_head(heads))
    print(
        f"| English and Chinese news | {len(texts)} | {100 * larger:.1f} | {100 * both:.1f} | {np.nanmean(error):.3f} "
        f"| {np.nanpercentile(error, 95):.3f} |"
    )


def print_rates(columns: list[TextColumn], repeats: int) -> None:
    """Prints the MB per CPU-second of each way to detect languages."""
    ways: dict[str, Callable[[TextColumn], object]] = {
        "lid.176 alone, sample": identify,
        "rules and lines, sample": detect,
        "lid.176 alone, all bytes": lambda column: identify(column, sample_bytes=0),
        "rules and lines, all bytes": lambda column: detect(column, sample_bytes=0),
        "every line by itself": detect_lines,
    }
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):  # in turn, so that other work on the machine slows all alike
        for name, way in ways.items():
            started = time.process_time()
            for column in columns:
                way(column)
            seconds[name] = min(seconds[name], time.process_time() - started)
    size = sum(column.nbytes for column in columns) / 1e6
    print("\n" + table_head(f"{size:.0f} MB | MB/CPU-s"))
    for name in ways:
        print(f"| {name} | {size / seconds[name]:.0f} |")


if __name__ == "__main__":
    main()
