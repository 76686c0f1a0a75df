"""Documents on disk: schemas, ids, readers, shards, views, run layout, ledger."""
