"""Sentence-wise quality: the model, what it was trained from, how well it does, which sentences are cut."""
