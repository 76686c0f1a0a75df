"""The BPE tokenizer: its training sample, training, extension, and how it compares with others'."""
