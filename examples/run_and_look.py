"""Run a pipeline and look at its funnel.

python examples/run_and_look.py RUN web='crawl/*.warc.gz' news='news/*.jsonl'
"""

import sys

import tamis


def main(out: str, *inputs: str) -> None:
    """Runs the pipeline over the files, or goes on where it stopped, and prints what each stage left."""
    run = tamis.run(
        "dedup",  # copies only, which needs no model; "default" is the whole chain, and a path is a YAML of your own
        out,
        inputs=dict(text.split("=", 1) for text in inputs),
        settings={"near_dedup.threshold": 0.8},
    )
    print(run)
    for stage in run.ledger.to_pylist():
        for reason, documents in stage["documents_dropped"]:
            print(f"{stage['stage']}: {documents:,} documents dropped as {reason}")
    print(f"{run.documents.count_rows():,} documents in {run.root}/shards")


if __name__ == "__main__":
    main(*sys.argv[1:])
