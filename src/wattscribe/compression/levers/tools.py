"""Which of a graph's maps or nodes a step means, and onnxruntime's quantisers as a lever calls them."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.linears import removed
from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a step asks of a lever: `model`, an onnx.ModelProto of that component, is to be changed in place."""

    model: Any
    component: str
    tensors: Sequence[str]
    options: Mapping[str, Any]
    calibration: Calibration
    inside: Callable[[str], bool] = lambda name: True
    """Whether a map or a weight of the model belongs to the component."""

    def chosen(self, names: Iterable[str], lacks: str) -> list[str]:
        """See `meant`. Raises InputError for none: what the component `lacks`."""
        named = self.meant(names)
        if not named:
            raise self.nothing(lacks)
        return named

    def meant(self, names: Iterable[str]) -> list[str]:
        """See `chosen`; a step may also name maps that an earlier one took away."""
        mine = [name for name in names if self.inside(name)]
        return chosen(mine, self.tensors, self.component, removed(self.model))

    def nothing(self, lacks: str) -> InputError:
        return InputError(f"the {self.component} {lacks}", fix="Leave this step away")


def chosen(names: Iterable[str], patterns: Sequence[str], what: str, gone: Collection[str] = ()) -> list[str]:
    """Names that match one of the patterns (`*` at either end), in order; all of them for no pattern.

    Raises InputError for a pattern that matches nothing: a recipe that belongs to another model.
    """
    names = list(names)
    if not patterns:
        return names
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in (*names, *gone)):
            raise InputError(f"the {what} has no {pattern!r}", fix="Use the recipe on the model that it was made for")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def name_nodes(model: Any) -> None:
    """The quantisers find nodes by name: those that have none get one."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"


@contextlib.contextmanager
def written_by_quantiser(asked: Asked) -> Iterator[str]:
    """Where a quantiser is to write; the model becomes that. Declared inner shapes go first: it takes them for true."""
    del asked.model.graph.value_info[:]
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder, quiet(asked.component):
        path = Path(folder) / "quantised.onnx"
        yield str(path)
        asked.model.ParseFromString(path.read_bytes())


@contextlib.contextmanager
def quiet(component: str) -> Iterator[None]:
    """onnxruntime's quantisers print and log on their way, and fail with exceptions of many kinds: neither is a verb's answer.

    No prints, no warnings from the root logger, restored afterwards. Raises InputError where the tool refuses the graph.
    """
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
