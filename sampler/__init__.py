"""From published shards to token batches: tokenizer, token bins, mixture, order, packing, stream."""

from tamis.cache import use_kernel_cache

use_kernel_cache()
