"""What a trained model is worth: held-out loss, perplexity by domain and language, an evaluation harness."""
