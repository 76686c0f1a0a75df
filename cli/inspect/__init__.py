"""Commands that show what a run did: stats, explain, sample, clusters, diff."""
