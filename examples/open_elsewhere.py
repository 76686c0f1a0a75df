"""Open a run's folders with polars, pandas, DuckDB and Hugging Face datasets: they hold nothing but Parquet files.

python examples/open_elsewhere.py RUN      pip install polars duckdb datasets
"""

import sys

import datasets
import duckdb
import pandas
import polars

import tamis


def main(root: str) -> None:
    """Counts the documents in five ways, and asks each tool a question."""
    shards = f"{root}/shards"
    frame = polars.scan_parquet(f"{shards}/").select("domain", "bytes", "frequency").collect()
    print(frame.group_by("domain").agg(polars.len(), polars.col("bytes").sum()))

    print(pandas.read_parquet(shards, columns=["doc_id", "url", "frequency"]).nlargest(3, "frequency"))

    print(duckdb.sql(f"select stage, reason, count(*) from read_parquet('{root}/dropped') group by all"))

    dataset = datasets.load_dataset("parquet", data_dir=shards, split="train")
    print(dataset[0]["text"][:80])

    run = tamis.open_run(root)  # by the manifest's list of files; weights beside documents
    heaviest = polars.from_arrow(run.weighted(["doc_id", "bytes"]).read_all()).sort("weight").tail(3)
    print(heaviest)
    assert len(frame) == len(dataset) == run.documents.count_rows()


if __name__ == "__main__":
    main(sys.argv[1])
