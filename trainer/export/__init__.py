"""A trained model as a Hugging Face Llama, its tokenizer, and the check that both give equal logits."""
