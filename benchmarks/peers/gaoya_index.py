"""gaoya: MinHashStringIndex with its own analyser, words in English and characters in Chinese, 5-grams."""

from __future__ import annotations

from benchmarks.peers.common import PERMUTATIONS, THRESHOLD, WIDTH, answer, arguments, documents
from benchmarks.tools.library import library


def main() -> None:
    """Drops what the index has a candidate for."""
    folder, out, lang = arguments()
    index = library("gaoya.minhash").MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=THRESHOLD,
        num_bands=None,
        band_size=None,
        num_hashes=PERMUTATIONS,
        analyzer="char" if lang == "zh" else "word",
        lowercase=True,
        ngram_range=(WIDTH, WIDTH),
    )
    names: list[str] = []
    dropped: dict[str, str | None] = {}
    for number, (name, text) in enumerate(documents(folder)):
        names.append(name)
        found = index.query(text, return_similarity=True)
        if found:
            dropped[name] = names[found[0][0]]
        else:
            index.insert_document(number, text)
    answer(out, dropped)


if __name__ == "__main__":
    main()
