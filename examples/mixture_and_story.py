"""Weigh domains from Python, see where the tokens of a step come from, and ask why a document was removed.

python examples/mixture_and_story.py RUN
"""

import sys
from collections import Counter
from itertools import islice

import tamis


def main(root: str) -> None:
    """Prints the domains of eight steps, then the story of one removed document."""
    run = tamis.open_run(root)
    domains = sorted(set(run.documents.to_table(columns=["domain"])["domain"].to_pylist()))
    mixture = {
        "domains": {name: {"weight": weight, "max_epochs": 50} for weight, name in enumerate(domains, 1)},
        "sequence_length": 128,
        "seed": 1,
        "tokenizer": {"vocab_size": 4096, "sample_bytes": 2_000_000},
    }
    batches = tamis.stream(mixture, root, global_batch=6)
    print(sum((batch.counts() for batch in islice(batches, 8)), Counter()))

    copies = run.dropped.to_table(columns=["doc_id", "stage", "reason"]).to_pylist()
    story = run.explain(copies[0]["doc_id"])["documents"][0]
    for stage in story["stages"]:
        print(f"{stage['stage']:<20}{stage['decision']:<16}{stage.get('reason', '')}")
    print(story["text"][:100].replace("\n", " "))


if __name__ == "__main__":
    main(sys.argv[1])
