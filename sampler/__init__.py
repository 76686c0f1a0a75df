"""From published shards to token batches: tokenizer, token bins, mixture, order, packing, stream."""
