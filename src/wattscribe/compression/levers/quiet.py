"""onnxruntime's quantisers print and log on their way, and fail with exceptions of many kinds: neither is a verb's answer."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

from wattscribe.errors import InputError


@contextlib.contextmanager
def quiet(component: str) -> Iterator[None]:
    """No prints, no warnings from the root logger, restored afterwards. Raises InputError where the tool refuses the graph."""
    from onnx.checker import ValidationError
    from onnx.shape_inference import InferenceError

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except (InferenceError, ValidationError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"onnxruntime's quantiser refuses the {component}: {reason}", fix="Leave this step away"
        ) from error
    finally:
        logging.disable(before)
