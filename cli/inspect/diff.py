"""`tamis diff`: what another configuration would have kept, document by document, and why it did not.

How the documents of two runs are matched, and what that costs, is told in `cli.inspect.outcomes`: by doc_id where
both hold the same ingest, else by (domain of the input, source_id). Bytes are bytes as ingested; where both runs kept a
document, what each left of it is counted too. Examples are drawn by a hash of the ids: everyone reads the same ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inspect.masking import PersonalOption, open_run
from cli.options import Answer, answering
from cli.present import console
from corpus.reading.plain import first_chars
from corpus.reading.run_reader import view_text

if TYPE_CHECKING:
    from cli.inspect.outcomes import Matched, Names
    from corpus.reading.run_reader import RunReader

KINDS = ("both", "only_a", "only_b", "neither")
TEXT_CHARS, SEED = 300, 0
Group = tuple[int, int, int, int]
"""Kind, code in A, code in B, domain."""


@answering
def diff(
    run_a: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN_A")],
    run_b: Annotated[Path, typer.Argument(help="The run folder to compare it with.", metavar="RUN_B")],
    n: Annotated[int, typer.Option("-n", min=0, help="Examples of what only one of them kept.")] = 5,
    personal_data: PersonalOption = False,
) -> Answer:
    """Compare two runs: what both kept, what only one of them kept, and which decisions and settings made it so."""
    from cli.inspect.diff_view import print_diff

    result = compare(open_run(run_a, personal_data), open_run(run_b, personal_data), n)
    return Answer(result, lambda: print_diff(console(), result))


def compare(a: RunReader, b: RunReader, n: int) -> dict[str, Any]:
    """The comparison as JSON."""
    from cli.inspect.outcomes import Names, matched, same_ingest
    from cli.inspect.settings import differing_settings, unfinished

    names, tally = Names(), Tally(n)
    for chunk in matched(a, b, names):
        tally.add(chunk)
    return {
        "a": str(a.run.root),
        "b": str(b.run.root),
        "matched_by": "doc_id" if same_ingest(a, b) else "domain and source_id",
        "documents": {"a": sum(s.rows for s in a.shards), "b": sum(s.rows for s in b.shards)},
        "unfinished": {"a": unfinished(a), "b": unfinished(b)},
        "settings": differing_settings(a, b),
        "totals": tally.totals(),
        "reasons": _reasons(tally, names),
        "domains": _by_domain(tally, names),
        "examples": {
            "only_a": _examples(tally.examples["only_a"], a, b),
            "only_b": _examples([(key, there, here) for key, here, there in tally.examples["only_b"]], b, a),
        },
    }


@dataclass
class Tally:
    """Sums over chunks: documents, and bytes as ingested, by group.

    Of the documents that both kept: bytes left by A and by B, and how many were cut differently. `examples` are the `n`
    least (hash, doc_id in A, doc_id in B).
    """

    n: int
    documents: Counter[Group] = field(default_factory=Counter)
    bytes: Counter[Group] = field(default_factory=Counter)
    left: tuple[int, int] = (0, 0)
    cut_differently: int = 0
    examples: dict[str, list[tuple[float, int, int]]] = field(default_factory=lambda: {"only_a": [], "only_b": []})

    def add(self, chunk: Matched) -> None:
        """Adds a chunk."""
        import numpy as np

        from cli.inspect.outcomes import ABSENT, KEPT

        a, b = chunk.a, chunk.b
        kept_a, kept_b = a.code == KEPT, b.code == KEPT
        kind = np.where(kept_a, np.where(kept_b, 0, 1), np.where(kept_b, 2, 3))
        here = a.code != ABSENT
        size, domain = np.where(here, a.size, b.size), np.where(here, a.domain, b.domain)
        groups, which = np.unique(np.stack([kind, a.code, b.code, domain]), axis=1, return_inverse=True)
        counts = np.bincount(which.reshape(-1), minlength=groups.shape[1])
        sums = np.zeros(groups.shape[1], np.int64)
        np.add.at(sums, which.reshape(-1), size)
        for group, count, total in zip(groups.T.tolist(), counts.tolist(), sums.tolist(), strict=True):
            k, code_a, code_b, d = group
            self.documents[k, code_a, code_b, d] += count
            self.bytes[k, code_a, code_b, d] += total
        both = kind == 0
        self.left = (self.left[0] + int(a.left[both].sum()), self.left[1] + int(b.left[both].sum()))
        self.cut_differently += int((a.left[both] != b.left[both]).sum())
        for number, name, own in ((1, "only_a", a), (2, "only_b", b)):
            rows = np.flatnonzero(kind == number)
            self._draw(name, own.doc_id[rows], a.doc_id[rows], b.doc_id[rows])

    def _draw(self, name: str, own: Any, in_a: Any, in_b: Any) -> None:
        import numpy as np

        from text.hash import uniform

        if not self.n or not len(own):
            return
        keys = uniform(SEED, own)
        least = np.argsort(keys, kind="stable")[: self.n]
        drawn = zip(keys[least].tolist(), in_a[least].tolist(), in_b[least].tolist(), strict=True)
        self.examples[name] = sorted([*self.examples[name], *drawn])[: self.n]

    def totals(self) -> dict[str, dict[str, int]]:
        """Documents and bytes by kind."""
        found = {
            name: {
                "documents": sum(count for group, count in self.documents.items() if group[0] == kind),
                "bytes": sum(size for group, size in self.bytes.items() if group[0] == kind),
            }
            for kind, name in enumerate(KINDS)
        }
        extra = {"bytes_left_a": self.left[0], "bytes_left_b": self.left[1], "cut_differently": self.cut_differently}
        found["both"] |= extra
        return found


def _reasons(tally: Tally, names: Names) -> dict[str, list[dict[str, Any]]]:
    """Why the other run has not kept it, by kind; of what neither kept, both reasons. Largest first."""
    from cli.inspect.outcomes import ABSENT

    label: dict[int, dict[str, str | None]] = {
        code: {"stage": stage, "reason": reason} for (stage, reason), code in names.reasons.items()
    }
    label[ABSENT] = {"stage": None, "reason": "not ingested"}
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, name in enumerate(KINDS[1:], 1):
        documents: Counter[tuple[int, int]] = Counter()
        size: Counter[tuple[int, int]] = Counter()
        for group, count in tally.documents.items():
            if group[0] == kind:
                documents[group[1], group[2]] += count
                size[group[1], group[2]] += tally.bytes[group]
        lines = []
        for (in_a, in_b), count in documents.items():
            why = {"only_a": label.get(in_b), "only_b": label.get(in_a)}.get(name)
            said = why if why is not None else {"a": label[in_a], "b": label[in_b]}
            lines.append({**said, "documents": count, "bytes": size[in_a, in_b]})
        found[name] = sorted(lines, key=lambda line: (-line["documents"], str(line)))
    return found


def _by_domain(tally: Tally, names: Names) -> dict[str, dict[str, dict[str, int]]]:
    domains = {code: name for name, code in names.domains.items()}
    found: dict[str, dict[str, dict[str, int]]] = {}
    for group, count in tally.documents.items():
        lines = found.setdefault(domains[group[3]], {name: {"documents": 0, "bytes": 0} for name in KINDS})
        lines[KINDS[group[0]]]["documents"] += count
        lines[KINDS[group[0]]]["bytes"] += tally.bytes[group]
    return dict(sorted(found.items()))


def _examples(drawn: list[tuple[float, int, int]], own: RunReader, other: RunReader) -> list[dict[str, Any]]:
    """Documents as the run that kept them shows them, with what the other run decided instead.

    Drawn are (hash, doc_id in the run that kept it, doc_id in the other or -1).
    """
    documents = own.documents([here for _, here, _ in drawn], ["source_id", "text"])
    domains = own.domains([here for _, here, _ in drawn])
    outcomes = other.outcomes([there for _, _, there in drawn if there >= 0])
    found = []
    for _, here, there in drawn:
        text = view_text(documents[here]["text"], own.edits_before(here, None))
        outcome = outcomes[there].to_json() if there >= 0 else None
        found.append(
            {
                "doc_id": str(here),
                "source_id": documents[here]["source_id"],
                "domain": domains[here],
                "text": first_chars(text, TEXT_CHARS),
                "other": outcome,
                "survivor": _survivor(other, outcomes[there].survivor) if there >= 0 else None,
            }
        )
    return found


def _survivor(reader: RunReader, doc_id: int | None) -> dict[str, Any] | None:
    """The document that was kept instead; None where there is none, or its run is not there any more."""
    if doc_id is None or not reader.lineage.reachable([doc_id]):
        return None
    stored = reader.documents([doc_id], ["source_id", "text"])[doc_id]
    return {"doc_id": str(doc_id), "source_id": stored["source_id"], "text": first_chars(stored["text"], TEXT_CHARS)}
