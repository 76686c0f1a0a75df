"""Evaluation of models: held-out loss, perplexity by domain and language, an evaluation harness."""
