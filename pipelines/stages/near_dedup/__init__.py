"""Near-duplicate documents: bands and buckets, verification, survivors."""
