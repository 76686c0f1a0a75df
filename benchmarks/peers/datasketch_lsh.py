"""datasketch: MinHash of 128 permutations and MinHashLSH, queried before each insertion as its README does."""

from __future__ import annotations

from benchmarks.peers.common import PERMUTATIONS, THRESHOLD, answer, arguments, documents, shingles
from benchmarks.tools.library import library


def main() -> None:
    """Drops what the index has a candidate for."""
    folder, out, _ = arguments()
    datasketch = library("datasketch")
    index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    dropped: dict[str, str | None] = {}
    for name, text in documents(folder):
        signature = datasketch.MinHash(num_perm=PERMUTATIONS)
        signature.update_batch([shingle.encode() for shingle in set(shingles(text))])
        found = index.query(signature)
        if found:
            dropped[name] = min(found)
        else:
            index.insert(name, signature)
    answer(out, dropped)


if __name__ == "__main__":
    main()
