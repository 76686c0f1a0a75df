"""How fast decontamination finds benchmark items in text, beside a set of n-grams in plain Python.

    python -m benchmarks.filters.decontaminate_speed [--data FOLDER] [--items 10000 1000000] [--megabytes 40]

Documents are the real English and Chinese text of the shared data folder. Items are 30 words or 45 characters drawn at
random from the vocabulary of the same text, so that few of their n-grams occur in it; a twentieth of them is a third as
long, so that whole short items are looked for too. 200 items are cut out of documents, and both methods must find them.
The kernel's rate is that of `filters.decontaminate.find.find_items`: folding, tokens, look-up, shares and places of
what is found, one thread, the best of three passes. The baseline tokenises by a regular expression, joins each 13 words
or 20 characters, and asks a `set`; it computes neither shares nor places. MB are 10^6 bytes of text.

Cost: with a million items some 4 GB of memory, and minutes in which the items are made and the index built.
"""

from __future__ import annotations

import re
import tempfile
import time
import unicodedata
from pathlib import Path

import numpy as np

from benchmarks.corpora.base_text import base_documents
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from benchmarks.tools.timing import best_cpu_seconds
from filters.decontaminate.benchmark_items import Form, Item
from filters.decontaminate.build_index import build_index
from filters.decontaminate.find import find_items
from filters.decontaminate.index import NgramConfig, NgramIndex
from text.arrow import TextColumn

NEEDS = ("data",)

LANGUAGES = ("en", "zh")
TOKENS = {"en": 30, "zh": 45}
GRAM = {"en": 13, "zh": 20}
CUT = 200
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


def words_of(text: str) -> list[str]:
    """Tokens in plain Python, near enough to Tamis' own for a set of n-grams."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def joined(words: list[str], lang: str) -> list[str]:
    """The n-grams of a document, each as one string."""
    n = GRAM[lang]
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def make_items(texts: dict[str, list[str]], count: int, seed: int) -> dict[str, list[str]]:
    """Items by language: drawn tokens, and `CUT` runs of documents."""
    random = np.random.Generator(np.random.PCG64([seed, count]))
    found = {}
    for lang in LANGUAGES:
        words = [w for text in texts[lang][::5] for w in words_of(text)]
        vocabulary = np.array(sorted({w for w in words if lang == "en" or "\u3400" <= w <= "\u9fff"}), dtype=object)
        drawn = random.integers(0, len(vocabulary), (count // 2 - CUT // 2, TOKENS[lang]))
        gap = " " if lang == "en" else ""
        items = [gap.join(vocabulary[row[: len(row) // 3] if k % 20 == 0 else row]) for k, row in enumerate(drawn)]
        for text in texts[lang][:: max(1, len(texts[lang]) // (CUT // 2))][: CUT // 2]:
            own = words_of(text)
            begin = int(random.integers(0, max(1, len(own) - TOKENS[lang])))
            items.append(" ".join(own[begin : begin + TOKENS[lang]]))
        found[lang] = items
    return found


def slow_hits(texts: list[str], lang: str, grams: set[str]) -> set[int]:
    """Documents that hold some n-gram of the set."""
    return {i for i, text in enumerate(texts) if any(g in grams for g in joined(words_of(text), lang))}


def fast_hits(index: NgramIndex, column: TextColumn) -> set[int]:
    """Documents that hold some n-gram of the index."""
    return set(find_items(index, column).document.tolist())


def main() -> None:
    """Prints a table."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--megabytes", type=float, default=40, help="of text in each language")
    parser.add_argument("--slow-megabytes", type=float, default=4, help="of them, what the baseline reads")
    options = parser.parse_args()
    require(NEEDS, options)
    texts = {}
    for lang in LANGUAGES:
        chosen, size = [], 0
        for document in base_documents(options.data, (lang,)):
            if size < options.megabytes * 1e6:
                chosen.append(document.text.decode())
                size += len(document.text)
        texts[lang] = chosen
    print(machine.as_line(machine.describe()))
    heads = "items | n-grams | index built, s | MB | language | kernel, MB/CPU-s | set, MB/CPU-s | documents with hits"
    print(table_head(heads))
    for count in options.items:
        made = make_items(texts, count, 1)
        grams = {lang: {g for text in made[lang] for g in joined(words_of(text), lang)} for lang in LANGUAGES}
        items = (
            Item(lang, str(i), lang, i + 1, ((Form.QUESTION, text),))
            for lang in LANGUAGES
            for i, text in enumerate(made[lang])
        )
        begun = time.process_time()
        index = build_index(items, NgramConfig())  # type: ignore[call-arg]
        built = time.process_time() - begun
        with tempfile.TemporaryDirectory() as scratch:
            index.save(Path(scratch) / "index")
            index = NgramIndex.load(Path(scratch) / "index")  # as the workers have it: mapped
            for lang in LANGUAGES:
                _line(count, index, built, lang, texts[lang], grams[lang], options.slow_megabytes)


def _line(
    count: int, index: NgramIndex, built: float, lang: str, texts: list[str], grams: set[str], slow_megabytes: float
) -> None:
    column = TextColumn.from_texts(texts)
    find_items(index, TextColumn.from_texts(texts[:1]))
    fast = best_cpu_seconds(lambda: fast_hits(index, column))
    few, size = [], 0
    for text in texts[:: max(1, int(column.nbytes / 1e6 / slow_megabytes))]:
        few.append(text)
        size += len(text.encode())
    slow = best_cpu_seconds(lambda: slow_hits(few, lang, grams), 1)
    same = slow_hits(few, lang, grams) == fast_hits(index, TextColumn.from_texts(few))
    print(
        f"| {count:,} | {len(index.keys):,} | {built:.1f} | {column.nbytes / 1e6:.0f} | {lang} "
        f"| {column.nbytes / 1e6 / fast:.0f} | {size / 1e6 / slow:.1f} "
        f"| {len(fast_hits(index, column)):,}; the set finds {'the same' if same else 'others'} in its {len(few):,} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
