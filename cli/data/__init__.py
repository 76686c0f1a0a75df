"""Commands from shards to token batches: tokenizer, tokens, mixture, export."""
