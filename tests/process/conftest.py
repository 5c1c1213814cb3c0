"""Models of the other rooms' tests, each made once."""

from __future__ import annotations

from tests.recognizers.conftest import (  # noqa: F401  (fixtures)
    checkpoint,
    ct2_model,
    moonshine_streaming_model,
    onnx_asr_model,
    openvino_model,
    sherpa_model,
    vosk_model,
)
