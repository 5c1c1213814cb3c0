"""The way with a checkpoint and training data: prune a float model, fine-tune it, distil the dense one into it (torch)."""
