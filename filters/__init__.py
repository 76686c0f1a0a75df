"""What is worth keeping, and why: heuristics, language, quality, safety, privacy, decontamination."""
