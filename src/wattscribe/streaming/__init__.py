"""Run an exported transducer: features, states, decoding, counts; onnxruntime, no torch.

transducer = open_transducer("models/zipformer")
stream = transducer.stream()
stream.accept(samples)
print(stream.partial().text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattscribe.streaming.decoding import Decoding
    from wattscribe.streaming.endpoint import Endpointing
    from wattscribe.streaming.stream import SavedStream, Stream
    from wattscribe.streaming.transducer import Transducer, open_transducer

__all__ = ["Decoding", "Endpointing", "SavedStream", "Stream", "Transducer", "open_transducer"]

_HOMES = {
    "Endpointing": "endpoint",
    "SavedStream": "stream",
    "Stream": "stream",
    "Decoding": "decoding",
    "Transducer": "transducer",
    "open_transducer": "transducer",
}


def __getattr__(name: str) -> Any:
    """Load on first use: `streaming.files` needs neither onnxruntime nor features."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
