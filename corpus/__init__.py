"""Documents on disk: schemas, ids, readers, shards, views, run layout, ledger."""

from tamis.cache import use_kernel_cache

use_kernel_cache()
