"""Edges by meaning with and without agreement in facts: what is joined that should be, and that should not.

    python -m benchmarks.dedup.semantic_facts [--data ../shared/data] [--threshold 0.9]

A pair is joined if the cosine of the static table reaches the threshold, and if its facts agree (`dedup.facts`). *Not
the same*: texts filled from one template, and real texts of one form: openings of judgments, notices of dividends and
results, web pages and answers that people labelled. *The same*: pairs labelled so, and copies with their sentences
(lines, for want of two) in another order, with one word in thirty (of lower case, or two Han) replaced by another of
the text, and without their last third. Of real texts each is paired with its
nearest other, unless the two share 0.75 of their 5-grams. Beside it: the speed of `find_facts`.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.corpora.base_text import read_records
from benchmarks.corpora.exhaustive import jaccard
from benchmarks.dedup.semantic_quality import Float32, Pairs, labelled_sets, vectors_of
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from dedup.embed import STATIC, find_model, open_encoder
from dedup.facts import compare, find_facts, rule
from text.arrow import TextColumn

NEEDS = ("data",)
SEED = 20261201
TEXTS = 400
"""Texts of a kind."""
_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_EN_PLACES = [
    "Boston",
    "Denver",
    "Chicago",
    "Houston",
    "Seattle",
    "Portland",
    "Memphis",
    "Dallas",
    "Phoenix",
    "Atlanta",
]
_ZH_PLACES = ["北京", "上海", "广州", "成都", "武汉", "西安", "南京", "杭州", "长沙", "昆明"]


def main() -> None:
    """Prints the tables."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--threshold", type=float, default=0.9)
    options = parser.parse_args()
    require(NEEDS, options)
    print(machine.as_line(machine.describe()))
    with tempfile.TemporaryDirectory() as folder:
        encoder = open_encoder(STATIC, find_model(STATIC, Path.cwd(), Path(folder) / "model"))
    head = "texts | pairs | the same | joined by the cosine | and facts agree | precision before | after"
    head += " | recall before | after"
    print(table_head(head))
    random = np.random.default_rng(SEED)
    for name, pairs in {
        **templates(random),
        **labelled_sets(options.data, 300),
        **copies(options.data, random),
    }.items():
        show(name, pairs, vectors_of(encoder, pairs.texts), options.threshold)
    for name, texts in real(options.data).items():
        vectors = vectors_of(encoder, texts)
        cosine = vectors @ vectors.T
        np.fill_diagonal(cosine, -1)
        near = cosine.argmax(axis=1)
        found = [(i, int(j)) for i, j in enumerate(near) if jaccard(texts[i], texts[j]) < 0.75]
        pairs = Pairs(texts, [a for a, _ in found], [b for _, b in found], [False] * len(found))
        show(name, pairs, vectors, options.threshold)
    print_speed(options.data)


def show(name: str, pairs: Pairs, vectors: Float32, threshold: float) -> None:
    """Prints a line: pairs joined by their cosine alone, and with facts that agree."""
    left, right, same = np.array(pairs.left), np.array(pairs.right), np.array(pairs.same)
    near = np.einsum("ij,ij->i", vectors[left], vectors[right]) >= threshold
    agreed = near & rule(compare(find_facts(TextColumn.from_texts(pairs.texts)), left, right))
    cells = [f"{len(same):,}", f"{same.sum():,}", f"{near.sum():,}", f"{agreed.sum():,}"]
    cells += [f"{(t & same).sum() / t.sum():.3f}" if t.any() else "none" for t in (near, agreed)]
    cells += [f"{(t & same).sum() / same.sum():.3f}" if same.any() else "-" for t in (near, agreed)]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def templates(random: np.random.Generator) -> dict[str, Pairs]:
    """Texts of one template that differ in numbers and names; each is paired with the next."""

    def several(fill: Callable[[list[int], str, str], str], places: list[str]) -> Pairs:
        texts = []
        for _ in range(TEXTS):
            one, other = random.choice(len(places), 2, replace=False)
            texts.append(fill(random.integers(1, 99, 6).tolist(), places[one], places[other]))
        left = [i for i in range(TEXTS - 1) if texts[i] != texts[i + 1]]
        return Pairs(texts, left, [i + 1 for i in left], [False] * len(left))

    return {
        "weather, en": several(
            lambda n, a, b: (
                f"The weather in {a} will be cloudy with a high of {n[0]} degrees and a low of {n[1]}. Winds"
                f" blow at {n[2]} km/h. Rain is likely with {n[3]} percent. In the evening it clears up."
            ),
            _EN_PLACES,
        ),
        "scores, en": several(
            lambda n, a, b: (
                f"Last night {a} beat {b} {n[0]}-{n[1]} in front of a full house. The visitors led after"
                " the first quarter but could not hold on. Both teams meet again next week."
            ),
            _EN_PLACES,
        ),
        "places alone, en": several(
            lambda n, a, b: (
                f"Looking for a plumber in {a}? We come to all parts of {a} and {b} on the same day, repair"
                " what leaks and leave the place clean. Call us now."
            ),
            _EN_PLACES,
        ),
        "weather, zh": several(
            lambda n, a, b: (
                f"{a}今天白天多云，最高气温{n[0]}度，夜间最低气温{n[1]}度，风力{n[2] % 9 + 1}级，降水概率百分之{n[3]}。"
                "出门请带雨具，注意保暖。"
            ),
            _ZH_PLACES,
        ),
        "shares, zh": several(
            lambda n, a, b: (
                f"{a}钢铁股份公司公告，公司第{n[0]}次董事会通过分红方案，"
                f"每10股派{n[1]}.{n[2]}元，股权登记日为{n[3] % 12 + 1}月{n[4] % 28 + 1}日。公司提醒投资者注意风险。"
            ),
            _ZH_PLACES,
        ),
        "places alone, zh": several(
            lambda n, a, b: f"想在{a}找搬家公司吗？我们在{a}和{b}都有车队，当天上门，价格实在，服务周到，欢迎来电。",
            _ZH_PLACES,
        ),
    }


def real(data: Path) -> dict[str, list[str]]:
    """Real texts of one form, each about another matter."""
    court = [str(r["text"]) for r in read_records(data / "zh_court_judgments.jsonl.zst")]
    news = [str(r["text"]) for r in read_records(data / "en_news_reuters.jsonl.zst")]
    payouts = [t for t in news if re.search(r"(?i)qtly div|\bdividend", t) and len(t) < 500]
    results = [t for t in news if re.search(r"(?m)^\s*(Oper )?(shr|net) ", t) and len(t) < 500]
    return {
        "judgments, zh": list(dict.fromkeys(court))[: 5 * TEXTS],
        "dividends, en": list(dict.fromkeys(payouts))[: 5 * TEXTS],
        "results, en": list(dict.fromkeys(results))[: 5 * TEXTS],
    }


def copies(data: Path, random: np.random.Generator) -> dict[str, Pairs]:
    """Copies of news and reviews in other order, other words, or cut."""
    out = {}
    for name in ("en_news_bbc", "zh_news_articles"):
        rows = [str(r["text"]) for r in read_records(data / f"{name}.jsonl.zst")]
        texts = [t for t in rows if 300 < len(t) < 4000][:TEXTS]
        for kind, change in (("reordered", reordered), ("edited", edited), ("cut", cut)):
            both = texts + [change(t, random) for t in texts]
            n = len(texts)
            out[f"{kind}, {name[:2]}"] = Pairs(both, list(range(n)), list(range(n, 2 * n)), [True] * n)
    return out


def reordered(text: str, random: np.random.Generator) -> str:
    """The sentences of a text in another order."""
    parts = [p for p in _ENDS.split(text) if p.strip()]
    gap = "" if ord(max(text)) >= 0x4E00 else " "
    return gap.join(parts[i] for i in random.permutation(len(parts)))


def edited(text: str, random: np.random.Generator) -> str:
    """One word, or two Han characters, in thirty replaced by others of the text."""
    words = re.findall(r"[一-鿿]{1,2}|[^\s一-鿿]+|\s+", text)
    plain = [i for i, w in enumerate(words) if w.islower() or "一" <= w[0] <= "鿿"]
    for i in random.choice(plain, max(1, len(plain) // 30), replace=False):
        words[i] = words[random.choice(plain)]
    return "".join(words)


def cut(text: str, random: np.random.Generator) -> str:
    """The first two thirds of a text."""
    return text[: 2 * len(text) // 3]


def print_speed(data: Path) -> None:
    """Prints the speed of `find_facts`, the best of three."""
    for name in ("en_news_reuters", "zh_news_articles"):
        texts = TextColumn.from_texts([str(r["text"]) for r in read_records(data / f"{name}.jsonl.zst")])
        spent = []
        for _ in range(3):
            begun = time.process_time()
            find_facts(texts)
            spent.append(time.process_time() - begun)
        print(f"\n{name}: {texts.nbytes / 1e6:.0f} MB, {texts.nbytes / 1e6 / min(spent):.0f} MB a CPU-second.")


if __name__ == "__main__":
    main()
