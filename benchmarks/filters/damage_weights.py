"""Fits the weights of `filters.damage.weights`: what tells strange matter from a text's own sentences.

    python -m benchmarks.filters.damage_weights [--a-text 3] [--format json]

Pairs of a better and a worse copy (`benchmarks.corpora.worn_pairs`, the part `fitted`) are read into pieces, and a
logistic loss over the difference of the two merits is minimised: no piece has a label, only the pair has. Features that
damage raises are kept from speaking for a piece. Then the share of pairs, kind by kind, in which the better copy has
the greater merit, on the same pairs and on those `held_out`, by the weights found and by those in the code.

Cost: some three minutes on one core. Needs torch.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.corpora.worn_pairs import HELD_OUT as HELD_OUT_SOURCES
from benchmarks.corpora.worn_pairs import KINDS, LONGER, Pair, clean_texts, make, real_matter
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import show
from filters.damage import read
from filters.damage.grade import COSTS, STRANGE, describe, usual_line
from filters.damage.tables import damage_tables
from filters.damage.weights import FEATURES, OWN, WEIGHTS

NEEDS = ("data",)
BOUND = ("unended", "notices", "remarks", "persons", "exclaims", "low_start", "clashes")
"""Features that damage raises."""
PRIOR = {"bias": -1.0, "notices": 0.6, "remarks": 0.4, "persons": 0.3, "exclaims": 0.2, "numbers": 0.3, "clashes": 1.0}
"""Towards what the weights are drawn; the others towards 0."""
PULL, SCALE, LONGER_COUNTS = 0.003, 6.0, 3.0
"""How strongly; how many tokens of difference are clear; how much a pair counts in which the longer copy is better."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a text: features, tokens, whether they are in Han; and what its marks of damage are worth."""

    features: npt.NDArray[np.float64]  # [n, 2 * OWN - 2]
    tokens: npt.NDArray[np.int32]  # [n]
    han: npt.NDArray[np.bool_]  # [n]
    marks: float


def pieces_of(text: str) -> Pieces:
    """Reads a text as `filters.damage.grade.grade` does."""
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    room = len(data) + 16
    pieces, lines = np.zeros((room, read.PIECE_PLACES), np.int32), np.zeros(room, np.int32)
    seen, scratch = np.zeros(len(read.SEEN), np.int32), np.zeros(1 << read.SLOT_BITS, np.int32)
    terms = np.zeros(room, np.int32)
    n, n_lines = read.read_document(data, 0, len(data), damage_tables(), pieces, lines, seen, terms, scratch)
    own, usual = np.zeros((n, OWN)), usual_line(lines, n_lines)
    for k in range(n):
        describe(pieces[k], lines[pieces[k, read.LINE]], usual, own[k])
    tokens = pieces[:n, read.TOKENS].copy()
    mean = (own[:, 2:] * tokens[:, None]).sum(axis=0) / max(1, tokens.sum())
    features = np.concatenate([own, own[:, 2:] - mean], axis=1)
    return Pieces(features, tokens, 2 * pieces[:n, read.HANS] > tokens, -float((seen * COSTS).sum()) / 100)


def read_pairs(data: Path, a_text: int, seed: int) -> dict[str, list[tuple[Pair, Pieces, Pieces]]]:
    """Some kinds of pairs of each text, read: the parts `fitted` and `held_out`."""
    matter, found = real_matter(data, seed), defaultdict(list)
    for number, (lang, source, text) in enumerate(clean_texts(data, seed)):
        part = "held_out" if source in HELD_OUT_SOURCES else "fitted"
        rng = random.Random(f"{seed} {number}")
        chosen = rng.sample([k for k in KINDS if k not in LONGER and k != "shuffled_paragraphs"], a_text)
        for kind in [*chosen, rng.choice(LONGER)]:
            worse = make(kind, text, lang, rng, matter, int(part == "held_out"))
            if worse != text:
                pair = Pair(kind, lang, source, text, worse)
                found[part].append((pair, pieces_of(text), pieces_of(worse)))
    return found


class Differences:
    """The difference of merits of pairs, as a function of the weights."""

    def __init__(self, given: list[tuple[Pair, Pieces, Pieces]]) -> None:
        import torch

        every = [
            (number, sign, p) for number, (_, *both) in enumerate(given) for sign, p in zip((1, -1), both, strict=True)
        ]
        self.features = torch.tensor(np.concatenate([p.features for _, _, p in every]))
        self.tokens = torch.tensor(np.concatenate([sign * p.tokens for _, sign, p in every]).astype(np.float64))
        self.row = torch.tensor(np.concatenate([p.han for *_, p in every]).astype(np.int64))
        self.pair = torch.tensor(np.concatenate([np.full(len(p.tokens), number) for number, _, p in every]))
        self.marks = torch.tensor([better.marks - worse.marks for _, better, worse in given], dtype=torch.double)
        self.weight = torch.tensor([LONGER_COUNTS if p.kind in LONGER else 1.0 for p, *_ in given], dtype=torch.double)

    def __call__(self, weights: Any) -> Any:
        """Merit of the better copy less that of the worse, in tokens: float64[pairs]."""
        import torch

        strange = torch.sigmoid((self.features * weights[self.row]).sum(1))
        worth = self.tokens * (1 - (1 + STRANGE) * strange)
        return torch.zeros(len(self.marks), dtype=torch.double).index_add(0, self.pair, worth) + self.marks


def bounded(weights: Any) -> Any:
    """The weights, those of `BOUND` at least 0, also where a piece is far from its document's mean."""
    import torch

    at = [list(FEATURES).index(name) for name in BOUND]
    off = [OWN - 2 + k for k in at]
    weights = weights.clone()
    weights[:, at] = weights[:, at].clamp(min=0)
    weights[:, off] = torch.maximum(weights[:, off], -weights[:, at])
    return weights


def fit(differences: Differences) -> npt.NDArray[np.float64]:
    """The weights, float64[2, 2 * OWN - 2]."""
    import torch

    prior = torch.zeros(2, 2 * OWN - 2, dtype=torch.double)
    for name, value in PRIOR.items():
        prior[:, list(FEATURES).index(name)] = value
    weights = prior.clone().requires_grad_()
    solver = torch.optim.LBFGS([weights], max_iter=100, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Any:
        solver.zero_grad()
        miss = torch.nn.functional.softplus(-differences(bounded(weights)) / SCALE)
        found = (miss * differences.weight).mean() + PULL * ((weights - prior)[:, 1:] ** 2).sum()
        found.backward()
        return found

    solver.step(loss)
    return bounded(weights.detach()).numpy().round(2) + 0.0


def shares(given: list[tuple[Pair, Pieces, Pieces]], weights: npt.NDArray[np.float64]) -> dict[str, float]:
    """Kind and language → the share of pairs whose better copy has the greater merit."""
    import torch

    right = (Differences(given)(torch.tensor(weights)) > 0).numpy()
    found: dict[str, list[bool]] = defaultdict(list)
    for (pair, *_), hit in zip(given, right, strict=True):
        found[f"{pair.kind} {pair.lang}"].append(bool(hit))
    return {key: round(float(np.mean(hits)), 3) for key, hits in sorted(found.items())}


def main() -> None:
    """Prints the weights and how well they do."""
    parser = command_line(__doc__, NEEDS, formats=True)
    parser.add_argument("--a-text", type=int, default=3, help="kinds of damage of each text")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    require(NEEDS, options)
    given = read_pairs(options.data, options.a_text, options.seed)
    weights = fit(Differences(given["fitted"]))
    rows = {
        name: [*weights[:, k].tolist(), *(weights[:, OWN - 2 + k].tolist() if k > 1 else [])]
        for k, name in enumerate(FEATURES)
    }
    told = {
        name: {part: shares(some, w) for part, some in given.items()}
        for name, w in (("found", weights), ("in the code", WEIGHTS))
    }
    show({"weights": rows, "shares": told}, options.format == "json", as_text)


def as_text(body: dict[str, Any]) -> str:
    """The rows of `weights.FEATURES`, then the shares."""
    lines = [f'    "{name}": _Row({", ".join(map(str, row))}),' for name, row in body["weights"].items()]
    for name, parts in body["shares"].items():
        for part, found in parts.items():
            lines += ["", f"{name}, {part}", *(f"  {key}: {share}" for key, share in found.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
