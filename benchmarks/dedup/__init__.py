"""The dedup engine: speed, quality, peers."""
