"""What repeats: exact copies, spans, near-duplicates, components, clusters, survivors."""
