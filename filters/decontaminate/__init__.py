"""Benchmark items in training text, found by n-grams of tokens: the index, the search, what is cut."""
