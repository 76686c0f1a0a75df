"""What is worth keeping, and why: heuristics, language, quality, safety, privacy, decontamination."""

from tamis.cache import use_kernel_cache

use_kernel_cache()
