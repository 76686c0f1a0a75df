"""From shards to batches: speed and exactness beside other loaders."""
