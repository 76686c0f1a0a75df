"""The trainer: steps, memory."""
