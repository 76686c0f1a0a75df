"""Cells of embeddings: their training, density, pairs that mean the same."""
