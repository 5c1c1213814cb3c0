"""Models that the package ships: see docs/model-card.md for what they are and are not for."""

from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
"""The reference transducer in sherpa-onnx's layout: fp16 and int8 files and tokens.txt."""

SHIPPED = {"reference": REFERENCE}


def locate(model: str | Path) -> Path:
    """Where the model's files are: `reference` is the shipped one, unless something of that name is here."""
    path = Path(model).expanduser()
    return SHIPPED.get(str(model), path) if not path.exists() else path
