"""Rules and models: speed, and accuracy on labelled text."""
