"""Planted traps: a source whose documents only look alike is never wiped out, and the copies among them do go.

One run of `dedup.yaml` over all traps of both languages. What is asserted follows from docs/design/principles.md's
definitions alone, on every pair of a trap by the oracle: *recall*, the share of pairs of similarity 0.8 or more that
are not both kept; *precision*, the share of dropped documents whose named survivor has 0.7 or more; and, sharper, that
no document goes which has no kept one of 0.7 or more.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pytest
import zstandard

from pipelines.spark.session import Cluster
from tests.conftest import REPOSITORY
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute
from tests.oracles.similarities import similarity_matrix
from tests.support.corpora import Corpus, Document
from tests.support.traps import BOOKS, CALLS, CHAINS, LINKS, NEAR_COPIES, TEMPLATED, all_traps

pytestmark = [pytest.mark.spark, pytest.mark.slow]

LANGUAGES = pytest.mark.parametrize("lang", ["en", "zh"])
SIMILAR, STILL_SIMILAR = 0.8, 0.7
LEAST = 0.98
JUDGMENTS = REPOSITORY.parent / "shared" / "data" / "zh_court_judgments.jsonl.zst"


def judgments() -> list[Document]:
    """Openings of real court judgments, which repeat each other's phrases; none where the file is not there."""
    if not JUDGMENTS.is_file():
        return []
    lines = zstandard.ZstdDecompressor().stream_reader(JUDGMENTS.open("rb")).read().splitlines()
    rows = [json.loads(line) for line in lines]
    return [Document(row["id"], row["text"], "court_zh", "zh", "judgment") for row in rows]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """All traps."""
    return Corpus([*all_traps("en"), *all_traps("zh"), *judgments()])


@pytest.fixture(scope="module")
def run(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> RunReader:
    """The finished run. Nearly all of `equal` are copies: its domains raise no alarm."""
    folder = tmp_path_factory.mktemp("traps")
    globs = corpus.write(folder / "raw", files=2)
    lines = [f"extends: {REPOSITORY / 'conf' / 'pipelines' / 'dedup.yaml'}", "ingest: {target_shard_bytes: 500000}"]
    lines += ["domains:", *(f"  equal_{lang}: {{alarm: {{max_removed_fraction: 1}}}}" for lang in ("en", "zh"))]
    lines += ["inputs:", *(f"  - {{domain: {d}, paths: ['{glob}']}}" for d, glob in globs.items())]
    pipeline = folder / "traps.yaml"
    pipeline.write_text("\n".join(lines), "utf-8")
    return execute(pipeline, folder / "run", cluster)


@dataclass
class Outcome:
    """A trap's documents, in input order, and what became of them.

    Attributes:
        documents: of one domain.
        kept: bool[n].
        survivor: the named survivor's place among them of each document dropped as a near copy.
    """

    documents: list[Document]
    kept: npt.NDArray[np.bool_]
    survivor: dict[int, int]

    @cached_property
    def similarity(self) -> npt.NDArray[np.float32]:
        """float32[n, n], by the oracle."""
        return similarity_matrix([d.text for d in self.documents])

    @cached_property
    def pairs(self) -> npt.NDArray[np.int64]:
        """int64[m, 2]: every pair that recall is about."""
        return np.argwhere(np.triu(self.similarity >= SIMILAR, 1))

    @property
    def missed(self) -> list[tuple[str, str]]:
        """Such pairs of which both were kept."""
        both = self.pairs[self.kept[self.pairs].all(axis=1)]
        return [(self.documents[i].name, self.documents[j].name) for i, j in both.tolist()]

    def named(self, kept: bool) -> set[str]:
        """Names of what was kept, or was not."""
        return {d.name for d, k in zip(self.documents, self.kept, strict=True) if k == kept}


@pytest.fixture(scope="module")
def outcomes(run: RunReader, corpus: Corpus) -> dict[str, Outcome]:
    """Domain → outcome, of all documents that were not exact copies of another."""
    exact = {row["source_id"] for row in run.dropped() if row["reason"] == "exact_duplicate"}
    near = {row["source_id"]: row for row in run.dropped() if row["reason"] == "near_duplicate"}
    names = run.kept_names()
    assert len(names) + len(exact) + len(near) == len(corpus.documents)
    found = {}
    for domain in corpus.domains():
        mine = [d for d in corpus.documents if d.domain == domain and d.name not in exact]
        place = {d.name: i for i, d in enumerate(mine)}
        survivor = {place[n]: place[run.name(near[n]["survivor"])] for n in place if n in near}
        found[domain] = Outcome(mine, np.array([d.name in names for d in mine]), survivor)
    return found


def assert_promises(outcome: Outcome) -> None:
    """Recall, precision, and no document lost that nothing kept resembles."""
    similarity = outcome.similarity
    dropped = np.flatnonzero(~outcome.kept)
    assert set(dropped.tolist()) == set(outcome.survivor)
    closest = similarity[np.ix_(dropped, np.flatnonzero(outcome.kept))].max(axis=1, initial=0)
    lost = [outcome.documents[i].name for i in dropped[closest < STILL_SIMILAR]]
    assert not lost, "nothing that was kept resembles them"
    wrong = [(i, j) for i, j in outcome.survivor.items() if similarity[i, j] < STILL_SIMILAR]
    assert len(wrong) <= (1 - LEAST) * len(dropped), wrong
    pairs, missed = outcome.pairs, outcome.missed
    print(
        f"{outcome.documents[0].domain}: {len(outcome.documents)} documents, {len(dropped)} dropped, recall "
        f"{1 - len(missed) / max(1, len(pairs)):.4f} of {len(pairs)} pairs, {len(wrong)} wrong survivors"
    )
    assert len(missed) <= (1 - LEAST) * len(pairs), missed


@LANGUAGES
def test_thousands_of_documents_of_a_template_stay_and_the_copies_among_them_go(
    outcomes: dict[str, Outcome], lang: str
) -> None:
    outcome = outcomes[f"template_{lang}"]
    assert 0.45 < np.quantile(outcome.similarity[outcome.similarity > 0], 0.5) < 0.66, "the trap is none"
    assert_promises(outcome)
    assert outcome.kept.sum() == TEMPLATED
    assert len(outcome.pairs) == NEAR_COPIES


@LANGUAGES
def test_distinct_books_under_one_licence_all_stay(outcomes: dict[str, Outcome], lang: str) -> None:
    outcome = outcomes[f"licence_{lang}"]
    assert np.quantile(outcome.similarity, 0.5) > 0.55, "the trap is none"
    assert_promises(outcome)
    assert outcome.kept.sum() == BOOKS


@LANGUAGES
def test_function_calls_with_other_values_stay_and_copies_go(outcomes: dict[str, Outcome], lang: str) -> None:
    outcome = outcomes[f"calls_{lang}"]
    assert np.quantile(outcome.similarity, 0.5) > 0.5, "the trap is none"
    assert_promises(outcome)
    assert outcome.kept.sum() == CALLS


@LANGUAGES
def test_a_long_chain_of_neighbours_keeps_several_survivors(outcomes: dict[str, Outcome], lang: str) -> None:
    outcome = outcomes[f"chain_{lang}"]
    links = [d.similarity for d in outcome.documents if d.similarity is not None]
    assert len(links) == CHAINS * (LINKS - 1) and min(links) > 0.84 and max(links) < 0.92
    assert_promises(outcome)
    assert not outcome.missed, "two survivors are alike"
    assert min(outcome.similarity[i, j] for i, j in outcome.survivor.items()) >= STILL_SIMILAR
    left = Counter(name.rsplit("-", 1)[0] for name in outcome.named(kept=True))
    assert len(left) == CHAINS
    assert min(left.values()) >= LINKS // 5, "a chain was taken for one document"
    assert max(left.values()) <= LINKS // 2 + 1, "neighbours were not recognised"


@LANGUAGES
def test_thousands_of_equal_signatures_leave_one(outcomes: dict[str, Outcome], lang: str) -> None:
    outcome = outcomes[f"equal_{lang}"]
    assert_promises(outcome)
    kept = outcome.named(kept=True)
    others = {d.name for d in outcome.documents if "-other-" in d.name}
    assert others <= kept and len(others) == 60
    assert len(kept - others) == 1


def test_court_judgments_against_every_pair(outcomes: dict[str, Outcome]) -> None:
    if "court_zh" not in outcomes:
        pytest.skip(f"needs {JUDGMENTS.name} in the shared data folder beside the checkout (../shared/data)")
    outcome = outcomes["court_zh"]
    assert len(outcome.documents) > 3000 and len(outcome.pairs) > 50
    assert_promises(outcome)


def test_nothing_was_lost_to_a_cap(run: RunReader) -> None:
    facts = run.chain["near_dedup"].body["facts"]
    assert facts["capped"] == 0, facts
