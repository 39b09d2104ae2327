"""What of a graph is drawn: its levels, the blocks that repeat, and what fits."""
