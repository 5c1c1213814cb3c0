"""Build and train a streaming transducer (torch)."""
