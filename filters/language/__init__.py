"""Which language a text is in: lid.176 by our own kernel, rules by script, a score for each line."""
