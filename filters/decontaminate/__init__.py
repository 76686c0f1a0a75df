"""Items of benchmarks found in training text by n-grams of tokens: the index, the search, the cut."""
