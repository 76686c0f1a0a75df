"""The trainer: a small Baichuan-2-shaped model, its optimizer and its loop, fed by the sampler."""
