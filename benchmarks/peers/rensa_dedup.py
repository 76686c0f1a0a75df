"""rensa: RMinHashDeduplicator over 5-grams, in batches as its README does; it checks candidates by their sketches.

It names no survivors. Its faster "rho" functions sample token positions and are no MinHash of the set; not used.
"""

from __future__ import annotations

from itertools import islice

from benchmarks.peers.common import PERMUTATIONS, THRESHOLD, answer, arguments, documents, shingles
from benchmarks.tools.library import library

BATCH = 1000


def main() -> None:
    """Drops what the deduplicator does not keep."""
    folder, out, _ = arguments()
    rensa = library("rensa")
    index = rensa.RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True)
    dropped: dict[str, str | None] = {}
    rows = documents(folder)
    while batch := list(islice(rows, BATCH)):
        kept = index.add_pairs([(name, shingles(text)) for name, text in batch])
        dropped |= {name: None for (name, _), keep in zip(batch, kept, strict=True) if not keep}
    answer(out, dropped)


if __name__ == "__main__":
    main()
