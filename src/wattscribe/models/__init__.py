"""Models that the package ships: see docs/model-card.md for what they are and are not for."""

from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
"""The reference transducer in sherpa-onnx's layout: fp16 and int8 files and tokens.txt."""
