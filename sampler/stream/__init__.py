"""From a domain's documents to the batch of a step: order, packing, blend, phases, state. No I/O but the bins'."""
