"""Pure kernels over Arrow text: scan, normalise, tokens, segment, shingle, hash."""
