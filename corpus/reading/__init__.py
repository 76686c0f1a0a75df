"""A run folder opened for reading: documents, their story, what became of them."""
