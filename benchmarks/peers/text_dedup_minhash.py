"""text-dedup: `python -m text_dedup.minhash` with its own tokens, 5-grams, 128 permutations and one process.

A cluster's first document is the survivor. It removes documents below `min_length` tokens; that is set to 1 here.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.common import PERMUTATIONS, THRESHOLD, WIDTH, answer, arguments, documents


def main() -> None:
    """Drops all of a cluster but its first document."""
    folder, out, _ = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        settings = {
            "path": "parquet",
            "data_files": f"{folder}/*.parquet",
            "split": "train",
            "cache_dir": f"{scratch}/cache",
            "output": f"{scratch}/out",
            "num_proc": 1,
            "column": "text",
            "ngram": WIDTH,
            "min_length": 1,
            "num_perm": PERMUTATIONS,
            "threshold": THRESHOLD,
        }
        flags = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
        subprocess.run([sys.executable, "-m", "text_dedup.minhash", *flags, "--debug"], check=True)
        with (Path(scratch) / "out" / "uf.pkl").open("rb") as file:
            found = pickle.load(file)
    parents = found["parent"] if isinstance(found, dict) else found.parent
    names = [name for name, _ in documents(folder)]

    def first(i: int) -> int:
        while parents.get(i, i) != i:
            i = parents[i]
        return i

    answer(out, {name: names[first(i)] for i, name in enumerate(names) if first(i) != i})


if __name__ == "__main__":
    main()
