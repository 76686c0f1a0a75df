"""Stream batches of a run into a PyTorch loop, stop, and go on with another batch size.

python examples/training_loop.py RUN      pip install torch
"""

import sys

import torch

import tamis

MIXTURE = {
    "domains": "*",
    "sequence_length": 128,
    "seed": 1,
    "tokenizer": {"vocab_size": 4096, "sample_bytes": 2_000_000},
}


def main(root: str) -> None:
    """Trains a model of one layer for some steps: the loss falls, and no sample comes twice."""
    batches = tamis.stream(MIXTURE, root, global_batch=8)
    vocabulary = batches.prepared.tokenizer.vocab_size
    model = torch.nn.Sequential(torch.nn.Embedding(vocabulary, 64), torch.nn.Linear(64, vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    dataset = batches.dataset(steps=12)  # torch tensors; DataLoader(dataset, batch_size=None) works too
    for step, item in enumerate(dataset):
        logits = model(item["tokens"])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), item["labels"].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.3f}")
        state = dataset.state_after(item)  # a small JSON: put it into your checkpoint

    again = tamis.stream(MIXTURE, root, global_batch=4)
    again.load_state(state)
    batch = next(iter(again))  # numpy
    print(f"goes on at sample {batch.samples[0]} with {batch.tokens.shape} tokens")
    assert batch.samples[0] == 12 * 8


if __name__ == "__main__":
    main(sys.argv[1])
