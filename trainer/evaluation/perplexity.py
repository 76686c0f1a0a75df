"""Perplexity on held-out documents, by domain and by language: BiLLa's table, and bits a byte.

**Input.** Each document once, whole and by itself, as in the bins: its tokens and the end-of-document token. The first
token is not predicted, as in training with a document mask (`trainer.loss`); every other token is predicted once. A
document that is longer than a sequence is cut every `length` tokens, as in a packed batch; tokens after the cut do not
see those before it. Models without a document mask are evaluated in the same way, so that the results compare.

**Output.** Nats a token and perplexity, its exponential, depend on the tokenizer. Bits a byte do not: they are the
same nats divided by the UTF-8 bytes of the predicted tokens. The end token counts as a token of no bytes. Sums are over
tokens, so long documents count by length, and a total is the mean of its parts weighted by tokens. The standard error
is that of a ratio over documents, since the tokens of a document are not independent.

Source: BiLLa's evaluation (perplexity on 1,000 English documents, and on those and 1,000 Chinese ones); Cochran 1977,
section 2.11 (the error of a ratio).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sampler.heldout import HeldoutDocuments, JudgedText
from tamis.progress import SILENT, Progress
from trainer.evaluation.scores import Question, answer
from trainer.model import Transformer

Int64 = npt.NDArray[np.int64]
_GROUP_TOKENS = 1 << 18  # tokens of documents that are scored together, sorted by length


@dataclass(frozen=True, kw_only=True)
class DocumentScores:
    """A model's loss on some documents, by document.

    Of the predicted tokens, all but the first: their number, int64[n], UTF-8 bytes, int64[n], and summed loss,
    float64[n].
    """

    domains: Sequence[str]
    languages: Sequence[str]
    tokens: Int64
    bytes: Int64
    nats: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PerplexityRow:
    """A line of the table, of a domain, a language or the total; measures are None if no token was predicted.

    `bytes` are UTF-8 of the predicted tokens, `nats` their mean loss, `standard_error` that of `nats` over documents,
    None with fewer than two. Bits a byte are None if there are no bytes.
    """

    kind: str
    name: str
    documents: int
    tokens: int
    bytes: int
    nats: float | None
    standard_error: float | None
    perplexity: float | None
    bits_per_byte: float | None


def judge(
    model: Transformer, text: JudgedText, length: int, sizes: Int64, progress: Progress = SILENT, what: str = "judging"
) -> DocumentScores:
    """Score every document of a text with a model, as `scoring_model` gives it, in sequences of `length` tokens.

    `sizes`, int64[vocab_size], are the UTF-8 bytes of each piece; `what` labels the step.
    """
    progress.start(what, sum(len(documents.rows) for documents in text.documents))
    costs: list[float] = []
    tokens: list[int] = []
    counts: list[int] = []
    for group in _groups(text.documents):
        pieces = [questions_of(document, length) for document in group]
        answers = iter(answer(model, [piece for document in pieces for piece in document]))
        for document, asked in zip(group, pieces, strict=True):
            costs.append(sum(float(next(answers).nats.sum()) for _ in asked))
            tokens.append(len(document) - 1)
            counts.append(int(sizes[document[1:]].sum()))
        progress.update(len(costs))
    progress.finish()
    return DocumentScores(
        domains=[documents.domain for documents in text.documents for _ in documents.rows],
        languages=[language for documents in text.documents for language in documents.languages],
        tokens=np.array(tokens, np.int64),
        bytes=np.array(counts, np.int64),
        nats=np.array(costs, np.float64),
    )


def questions_of(document: Int64, length: int) -> list[Question]:
    """A document, int64[n] with its end token, as sequences: every token but the first is asked about once."""
    ends = [(start, min(start + length, len(document) - 1)) for start in range(0, len(document) - 1, length)]
    return [Question(tokens=document[a:b], labels=document[a + 1 : b + 1]) for a, b in ends]


def table_of(judged: DocumentScores, domains: Sequence[str]) -> list[PerplexityRow]:
    """A row for each domain that was asked for, those without documents too; for each language; and the total."""
    rows = []
    for kind, names, given in (
        ("domain", domains, judged.domains),
        ("language", sorted(set(judged.languages)), judged.languages),
    ):
        column = np.array(given, dtype=object)
        rows += [_row(kind, name, judged, column == name) for name in names]
    return [*rows, _row("total", "total", judged, np.ones(len(judged.tokens), np.bool_))]


def _row(kind: str, name: str, judged: DocumentScores, chosen: npt.NDArray[np.bool_]) -> PerplexityRow:
    tokens, nats = judged.tokens[chosen], judged.nats[chosen]
    count, size = int(tokens.sum()), int(judged.bytes[chosen].sum())
    mean = float(nats.sum()) / count if count else None
    return PerplexityRow(
        kind=kind,
        name=name,
        documents=len(tokens),
        tokens=count,
        bytes=size,
        nats=mean,
        standard_error=None if mean is None else _standard_error(nats, tokens, mean),
        perplexity=None if mean is None else math.exp(min(mean, 700.0)),
        bits_per_byte=float(nats.sum()) / size / math.log(2) if size else None,
    )


def _standard_error(nats: npt.NDArray[np.float64], tokens: Int64, mean: float) -> float | None:
    """The standard error of Σ nats / Σ tokens, over documents."""
    if len(tokens) < 2:
        return None
    spread = float(((nats - mean * tokens) ** 2).sum()) * len(tokens) / (len(tokens) - 1)
    return math.sqrt(spread) / float(tokens.sum())


def _groups(text: Sequence[HeldoutDocuments]) -> Iterator[list[Int64]]:
    """Documents' tokens in order, a few batches' worth at a time."""
    group: list[Int64] = []
    held = 0
    for documents in text:
        offsets = documents.shard.index.offsets
        for row in documents.rows.tolist():
            group.append(documents.shard.read(int(offsets[row]), int(offsets[row + 1])).astype(np.int64))
            held += len(group[-1])
            if held >= _GROUP_TOKENS:
                yield group
                group, held = [], 0
    if group:
        yield group
