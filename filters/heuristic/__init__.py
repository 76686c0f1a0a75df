"""Gopher's, C4's and FineWeb's rules and their counterparts for Chinese: features of a text, thresholds, a reason."""
