"""Find near-duplicates in a list of texts, without a pipeline and without Spark.

python examples/near_duplicates.py FILE.jsonl      a JSON object a line, with a `text`
"""

import json
import sys
from pathlib import Path

import tamis


def main(file: str) -> None:
    """Prints how many texts stay, and the pairs whose similarity is nearest to the threshold."""
    texts = [json.loads(line)["text"] for line in Path(file).read_text("utf-8").splitlines()]
    found = tamis.near_duplicates(texts, threshold=0.8)
    kept = [text for at, text in enumerate(texts) if found["survivor"][at].as_py() == at]
    print(f"{len(kept):,} of {len(texts):,} texts stay")
    pairs = tamis.near_duplicate_pairs(texts, threshold=0.8)
    for pair in pairs.sort_by("similarity").to_pylist()[:3]:
        print(f"\n{pair['similarity']:.3f}")
        print("  " + texts[pair["left"]][:100].replace("\n", " "))
        print("  " + texts[pair["right"]][:100].replace("\n", " "))


if __name__ == "__main__":
    main(sys.argv[1])
