"""Encoder–decoder recognizers (Whisper, Moonshine) as ONNX files: written from a checkpoint, and run without torch."""
