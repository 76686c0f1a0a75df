"""`tamis clusters --semantic`: the cells of `semantic_clusters`, with what they are about.

A cell is told by its size, its terms, the domains that it draws from, and a few of its documents: the one nearest to
the centroid and some on the way out. Terms are words, or pairs of Han characters, that more of the cell's documents use
than of a sample of all cells. Cost: the narrow tables once, then the text of `SAMPLED` documents a cell shown.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from cli.present import clean, console, one_line

if TYPE_CHECKING:
    from corpus.reading.run_reader import RunReader

SAMPLED, BACKGROUND = 24, 240
"""Documents whose words are counted: of a cell, and of all of them."""
EXAMPLES = 3
TERMS = 8
SAMPLE_CHARS, TEXT_CHARS = 4000, 160
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W\d_]{3,}")


def describe_cells(reader: RunReader, top: int) -> dict[str, Any]:
    """The result as JSON: totals, drift, and the `top` largest cells."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = reader.stage("semantic_clusters")
    facts = manifest.body["facts"]

    def table(kind: str, names: list[str]) -> pa.Table | None:
        paths = manifest.paths(kind)
        parts = [pq.read_table(path, columns=names, partitioning=None) for path in paths]
        return pa.concat_tables(parts) if parts else None

    cells = table("cells", ["cluster_id", "cluster_size", "new_documents", "mean_distance", "doc_id"])
    columns = table("columns", ["doc_id", "cluster_id", "centroid_distance", "density"])
    result = {key: facts.get(key) for key in ("cells", "documents", "without_vector", "edges", "threshold", "distance")}
    result |= {"drift": facts.get("drift"), "model": _model(reader), "clusters": []}
    if cells is None or columns is None:
        return result
    order = np.lexsort((cells.column("cluster_id").to_numpy(), -cells.column("cluster_size").to_numpy()))
    shown = cells.take(pa.array(order[:top])).to_pylist()
    known = columns.sort_by([("cluster_id", "ascending"), ("centroid_distance", "ascending"), ("doc_id", "ascending")])
    ids, of = known.column("doc_id").to_numpy(), known.column("cluster_id").to_numpy()
    background = _spread(np.sort(ids).tolist(), BACKGROUND)
    common = _documents_with(reader, background)
    for cell in shown:
        members = ids[np.searchsorted(of, cell["cluster_id"]) : np.searchsorted(of, cell["cluster_id"], "right")]
        result["clusters"].append(_cell(reader, cell, members.tolist(), common, len(background)))
    return result


def _model(reader: RunReader) -> str | None:
    evidence = reader.run.evidence("embed")
    return None if evidence is None else str(evidence.body["config"]["model"])


def _cell(
    reader: RunReader, cell: dict[str, Any], members: list[int], common: Counter[str], sampled: int
) -> dict[str, Any]:
    chosen = _spread(members, SAMPLED)
    inside = _documents_with(reader, chosen)
    domains = Counter(reader.domains(members).values())
    examples = _spread(members, EXAMPLES)
    texts = reader.documents(examples, ["text", "source_id"])
    outcomes = reader.outcomes(examples)
    return {
        "id": cell["cluster_id"],
        "size": cell["cluster_size"],
        "new_documents": cell["new_documents"],
        "mean_distance": round(float(cell["mean_distance"]), 4),
        "terms": _terms(inside, len(chosen), common, sampled),
        "domains": dict(sorted(domains.items(), key=lambda item: (-item[1], item[0]))),
        "examples": [
            {
                "doc_id": str(i),
                "source_id": texts[i]["source_id"],
                "fate": outcomes[i].to_json(),
                "text": texts[i]["text"][:TEXT_CHARS],
            }
            for i in examples
        ],
    }


def _spread(ids: list[int], n: int) -> list[int]:
    """At most n of the ids, evenly spaced from the first to the last."""
    if len(ids) <= n:
        return ids
    return [ids[i * (len(ids) - 1) // max(1, n - 1)] for i in range(n)]


def _documents_with(reader: RunReader, ids: Iterable[int]) -> Counter[str]:
    """How many of the documents use each term."""
    found: Counter[str] = Counter()
    for row in reader.documents(list(ids), ["text"]).values():
        found.update(set(terms_of(row["text"][:SAMPLE_CHARS])))
    return found


def terms_of(text: str) -> Iterable[str]:
    """Words of three letters and more, in lower case; pairs of Han characters."""
    for word in _WORD.findall(text):
        if "\u3400" <= word[0] <= "\u9fff":
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        else:
            yield word.lower()


def _terms(inside: Counter[str], documents: int, common: Counter[str], sampled: int) -> list[str]:
    """The most typical terms: share of the cell's documents × log(that share / the share outside the cell)."""

    def weight(term: str) -> float:
        share = inside[term] / documents
        return share * math.log(share * (sampled + 1) / (common[term] + 1)) if share > 0 else 0.0

    least = 2 if documents > 2 else 1
    ranked = sorted((t for t, n in inside.items() if n >= least), key=lambda t: (-weight(t), t))
    return [term for term in ranked[:TERMS] if weight(term) > 0]


def print_cells(result: dict[str, Any]) -> None:
    """The result on the terminal."""
    screen = console()
    if not result["clusters"]:
        screen.print("There are no cells.")
        return
    screen.print(
        f"{result['cells']:,} cells hold {result['documents']:,} documents ({result['without_vector']:,} more have no "
        f"vector); {result['edges']:,} pairs within a cell have a cosine of {result['threshold']} or more. Mean "
        f"distance to the centroid {result['distance']['mean']:.3f}, 99 % within {result['distance']['p99']:.3f}."
    )
    if result["drift"]:
        drift = result["drift"]
        screen.print(
            f"Drift from the snapshot before: mean distance {drift['mean_before']:.3f} then, {drift['mean']:.3f} now; "
            f"{100 * drift['share_beyond_p99']:.2f} % lie beyond its 99th percentile, {drift['p99_before']:.3f} "
            "(1 % would be no drift)."
        )
    screen.print(f"The largest {len(result['clusters'])}:")
    for cell in result["clusters"]:
        screen.print()
        screen.print(_drawn(cell))


def _drawn(cell: dict[str, Any]) -> Table:
    title = f"cell {cell['id']}: {cell['size']:,} documents, mean distance {cell['mean_distance']:.3f}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("terms", Text(clean(", ".join(cell["terms"]) or "none that stand out")))
    table.add_row("domains", Text(clean(", ".join(f"{name} {n:,}" for name, n in cell["domains"].items()))))
    for example in cell["examples"]:
        outcome = "" if example["fate"]["kept"] else f" (dropped by {example['fate']['stage']})"
        table.add_row("text", Text(f"{example['doc_id']}{outcome}: {one_line(example['text'], TEXT_CHARS)}"))
    return table
