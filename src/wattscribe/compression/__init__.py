"""Make a transducer cheaper under a WER limit, and prove it."""
