"""Run an exported transducer: features, states, decoding, counts; onnxruntime, no torch."""
