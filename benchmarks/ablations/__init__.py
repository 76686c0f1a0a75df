"""Models trained on what a part of Tamis kept, beside what it did not."""
