"""What small models say about a large one: the scaling law, its runs, a band around a loss."""
