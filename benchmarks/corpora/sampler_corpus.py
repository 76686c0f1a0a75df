"""The corpus that data loaders are compared on: four domains of token ids in plain files, the same from any seed.

    python -m benchmarks.corpora.sampler_corpus FOLDER [--tokens 168000000] [--seed 0]

Written are FOLDER/<domain>.bin (little-endian uint16, documents back to back, each ending with END_OF_DOCUMENT),
FOLDER/<domain>.offsets.npy (int64[n_docs + 1], where documents start) and FOLDER/corpus.json (sizes and weights).
Lengths are log-normal, median 400 and mean about 720, so that some documents are longer than a sequence; ids are
uniform from 1 to 65,535. The shares of the mixture differ from the sizes of the domains: less than its size of the
largest, more of the smallest, and of none a whole epoch within 32,000 samples of 4,096 tokens.

Cost: about a second per 100 M tokens; 2 bytes a token on disk.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

SHARES = {"web": 84, "code": 42, "books": 28, "maths": 14}
"""The domains' parts of all tokens."""
WEIGHTS = {"web": 0.45, "code": 0.315, "books": 0.135, "maths": 0.1}
"""The mixture: the domains' shares of the samples."""
TOKENS = 168_000_000
END_OF_DOCUMENT = 0
MEDIAN, SIGMA = 400.0, 1.085
"""Parameters of the log-normal lengths, end token included; the mean is MEDIAN · exp(SIGMA² / 2)."""
SHORTEST = 2
_CHUNK = 1 << 24


def document_ends(generator: np.random.Generator, tokens: int) -> npt.NDArray[np.int64]:
    """Where the documents of a domain of so many tokens end: int64[n_docs], the last one cut at `tokens`."""
    ends = np.zeros(0, np.int64)
    while not len(ends) or ends[-1] < tokens:
        drawn = np.exp(generator.normal(np.log(MEDIAN), SIGMA, tokens // 400 + 16)).astype(np.int64)
        ends = np.append(ends, np.cumsum(np.maximum(drawn, SHORTEST)) + (ends[-1] if len(ends) else 0))
    inside = ends[ends <= tokens - SHORTEST]
    return np.append(inside, tokens)


def write_domain(folder: Path, domain: str, tokens: int, seed: tuple[int, int]) -> int:
    """Write one domain; returns how many documents it has."""
    generator = np.random.default_rng(seed)
    ends = document_ends(generator, tokens)
    with (folder / f"{domain}.bin").open("wb") as file:
        for start in range(0, tokens, _CHUNK):
            stop = min(start + _CHUNK, tokens)
            ids = generator.integers(1, 1 << 16, stop - start, dtype=np.uint16)
            first, last = np.searchsorted(ends, [start + 1, stop + 1])
            ids[ends[first:last] - 1 - start] = END_OF_DOCUMENT
            file.write(ids.astype("<u2", copy=False).tobytes())
    np.save(folder / f"{domain}.offsets.npy", np.append(np.int64(0), ends))
    return len(ends)


def write_corpus(folder: Path, tokens: int = TOKENS, seed: int = 0) -> None:
    """Write the corpus unless the folder has this one already.

    Args:
        folder: made if need be.
        tokens: of all domains together; split as SHARES says, and never by rounding more.
        seed: determines every id and every length.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {domain: tokens * part // sum(SHARES.values()) for domain, part in SHARES.items()}
    facts = {"format": 1, "seed": seed, "end_of_document": END_OF_DOCUMENT, "tokens": sizes, "weights": WEIGHTS}
    done = folder / "corpus.json"
    if done.exists() and {k: v for k, v in json.loads(done.read_text("utf-8")).items() if k != "documents"} == facts:
        return
    done.unlink(missing_ok=True)
    documents = {
        domain: write_domain(folder, domain, size, (seed, number))
        for number, (domain, size) in enumerate(sizes.items())
    }
    done.write_text(json.dumps({**facts, "documents": documents}, indent=1), "utf-8")


def main() -> None:
    """Writes the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_corpus(options.folder, options.tokens, options.seed)
    print((options.folder / "corpus.json").read_text("utf-8"))


if __name__ == "__main__":
    main()
