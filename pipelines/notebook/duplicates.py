"""Copies among some texts in memory, by the kernels of `exact_dedup` and `near_dedup`, without Spark.

Text i stands where a pipeline has the document of the i-th id: with equal settings both name the same pairs, components
and survivors. One difference is on purpose: shingle sets are never sampled here, so that every similarity is exact.

Cost: some 30 ms a MB of text on one core (15,000 texts of 700 bytes with planted copies), and 900 bytes a text for its
signature and bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.notebook.texts import Column
from tamis.errors import ConfigError, told_briefly

if TYPE_CHECKING:
    from dedup.resolve import Members, Resolved
    from pipelines.notebook.texts import Texts

Int64 = npt.NDArray[np.int64]


@told_briefly
def exact_duplicates(texts: Texts) -> pa.Table:
    """Which texts are equal, after NFC and collapsed white space; case, punctuation and width count.

    Returns:
        A table, a row a text: `survivor` int64, the position of the first text that equals it, its own where there is
        no earlier one; `copies` int32, how many texts equal it, itself included. Null where the text is None. Texts
        without a character equal one another.

    Raises:
        ConfigError: `texts` are none.

    Example: `texts[i]` is kept where `survivor[i] == i`.
    """
    from dedup.exact import elect_copies
    from text.hash import digest128

    column = Column(texts)
    rows = np.flatnonzero(column.known)
    low, high = (half[rows] for half in digest128(column.text))
    found = elect_copies(low, high, rows, np.zeros(len(rows), np.int32))
    survivor, copies = np.arange(len(column), dtype=np.int64), np.ones(len(column), np.int32)
    survivor[found.doc_id], copies[found.doc_id] = found.survivor, found.copies
    return column.table({"survivor": survivor, "copies": copies})


@told_briefly
def near_duplicates(
    texts: Texts,
    threshold: float = 0.75,
    *,
    bands: int = 21,
    rows: int = 6,
    shingle_tokens: int = 5,
    tokens: Literal["text", "code"] = "text",
    quality: Sequence[float] | npt.NDArray[np.floating] | pa.Array | None = None,
) -> pa.Table:
    """Groups of texts that are nearly the same, and whom of each to keep.

    Similarity is Jaccard's, of the sets of `shingle_tokens`-grams over tokens: with `tokens="text"` words after NFKC
    and lowering, and signs where they mean something (-30, x<y); with "code" all that source code says. Pairs are
    proposed by MinHash (`bands` of `rows` minima), and count only once their similarity is counted. Of a group
    the text survives that says most by sentences of its own and is least damaged, `quality` counted in where it is
    given (numbers from 0 to 1, one a text), then the shortest, then the first; it takes those at least `threshold`
    similar to itself, and the rest elects again.

    Returns:
        A table, a row a text: `survivor` int64, the position of the text that is kept for it, its own where it is kept;
        `similarity` float32 to that, 1 for its own; `group` int64, the first text of those that verified pairs connect
        it to, null where there are none. All null where the text is None; one without tokens is like no other.

    Raises:
        ConfigError: `texts` are none, or bands and rows would miss more than 5 % of the pairs at the threshold.

    Example: `texts[i]` is kept where `survivor[i] == i`; `near_duplicate_pairs` has the pairs.
    """
    column, members, found = _resolved(texts, threshold, bands, rows, shingle_tokens, tokens, quality)[:3]
    survivor = np.arange(len(column), dtype=np.int64)
    similarity, group = np.ones(len(column), np.float32), np.full(len(column), -1, np.int64)
    survivor[members.doc_id] = members.doc_id[found.survivor]
    similarity[members.doc_id], group[members.doc_id] = found.similarity, found.component
    in_group = pa.array(group, mask=group < 0)
    return column.table({"survivor": survivor, "similarity": similarity, "group": in_group})


@told_briefly
def near_duplicate_pairs(
    texts: Texts,
    threshold: float = 0.75,
    *,
    bands: int = 21,
    rows: int = 6,
    shingle_tokens: int = 5,
    tokens: Literal["text", "code"] = "text",
) -> pa.Table:
    """The pairs that hold the groups of `near_duplicates` together; arguments as there.

    Not all pairs of a group: in a bucket of many texts each is compared with those that it is most like, so that n
    equal texts give n - 1 pairs.

    Returns:
        A table, a row a pair, in order: `left` and `right` int64, positions, `left < right`; `similarity` float32, at
        least the threshold, counted from the whole texts.

    Raises:
        ConfigError: as there.
    """
    _, members, found, left, right = _resolved(texts, threshold, bands, rows, shingle_tokens, tokens, None)
    a, b = (members.doc_id[end[found.edge_holds]] for end in (left, right))
    pairs = {"left": np.minimum(a, b), "right": np.maximum(a, b), "similarity": found.edge_similarity[found.edge_holds]}
    return pa.table(pairs).sort_by([("left", "ascending"), ("right", "ascending")])


def _resolved(
    texts: Texts, threshold: float, bands: int, rows: int, width: int, tokens: str, quality: object
) -> tuple[Column, Members, Resolved, Int64, Int64]:
    """What stage `near_dedup` does with documents, with texts: candidates, verification, election."""
    from corpus.config import parse
    from dedup.banding import band_keys, bucket_edges, sketch_bounds
    from dedup.graph import distinct_edges, plan_verification
    from dedup.minhash import SKETCH_BITS, signatures
    from dedup.resolve import Members, ShingleSets, resolve
    from filters.damage.grade import grade
    from pipelines.stages.near_dedup.stage import NearDedupDecision, NearDedupEvidence
    from pipelines.stages.near_dedup.tables import rows_in_buckets
    from text.arrow import TextColumn
    from text.shingle import shingle_sets
    from text.tokens import TOKENS

    where = "near_duplicates"
    config = parse(NearDedupDecision, {"threshold": threshold, "bands": bands, "rows": rows}, where)
    permutations = max(SKETCH_BITS, -(-bands * rows // 4) * 4)
    evidence = parse(NearDedupEvidence, {"num_perm": permutations, "shingle_tokens": width, "tokens": tokens}, where)
    mode = TOKENS[evidence.tokens]
    column = Column(texts)
    scores = _scores(quality, len(column))
    signed = signatures(column.text, evidence.num_perm, evidence.seed, evidence.shingle_tokens, mode)
    seen = np.flatnonzero(signed.shingles > 0)
    _, first, which = np.unique(signed.token_keys[seen], return_index=True, return_inverse=True)
    rep = seen[first][which]
    alone = seen[rep == seen]
    keys = band_keys(signed.minima[alone], bands, rows).reshape(-1)
    ids = np.repeat(alone, bands)
    order = rows_in_buckets(keys, ids)
    reject, accept = sketch_bounds(config.least_jaccard(), config.false_reject, config.false_accept)
    least, clear = 2 * reject / SKETCH_BITS - 1, config.clearly_the_same()
    found = bucket_edges(keys[order], ids[order], signed.sketch[ids[order]], least, clear, config.max_anchors)
    twins = rep != seen
    plan = plan_verification(*distinct_edges(found.low, found.high, found.agree), seen[twins], rep[twins], accept)
    order = np.lexsort((plan.doc_id, plan.component))
    doc_id, wanted = plan.doc_id[order], plan.wanted[order]
    at = np.zeros(len(column), np.int64)
    at[doc_id] = np.arange(len(doc_id))
    graded = grade(TextColumn.from_arrow(column.text.to_arrow().take(pa.array(doc_id))))
    members = Members(
        plan.component[order],
        doc_id,
        at[plan.rep[order]],
        signed.sketch[doc_id],
        graded.merit,
        graded.tokens.astype(np.int64),
        scores[doc_id],
        column.text.lengths[doc_id],
        np.zeros(len(doc_id), np.bool_),
    )
    of = np.full(len(doc_id), -1, np.int64)
    of[wanted] = np.arange(int(wanted.sum()))
    chosen = TextColumn.from_arrow(column.text.to_arrow().take(pa.array(doc_id[wanted])))
    sets = ShingleSets(of, *shingle_sets(chosen, evidence.shingle_tokens, mode=mode))
    collapsed = np.flatnonzero(members.rep != np.arange(len(doc_id)))
    left = np.concatenate([at[plan.left], members.rep[collapsed]])
    right = np.concatenate([at[plan.right], collapsed])
    return column, members, resolve(members, sets, left, right, config.threshold, reject), left, right


def _scores(quality: object, n: int) -> npt.NDArray[np.float32]:
    """A score a text, NaN where it is not known."""
    if quality is None:
        return np.full(n, np.nan, np.float32)
    found = pa.array(quality, from_pandas=True) if not isinstance(quality, pa.Array | pa.ChunkedArray) else quality
    if len(found) != n:
        raise ConfigError(f"quality: found {len(found):,} numbers for {n:,} texts; expected one a text")
    return found.cast(pa.float32()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
