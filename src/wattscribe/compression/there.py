"""On a worker: the bench that a search has, made from the worker's own files, and a recipe weighed on it."""

from __future__ import annotations

from wattscribe.compression.elsewhere import Material, Question, Weighed
from wattscribe.compression.kinds import read_model
from wattscribe.compression.lift import lifted
from wattscribe.compression.run import make_bench
from wattscribe.compression.search import weigh
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError, WattscribeError

_made: dict[str, Workbench] = {}
"""By digest: of the last search."""


def weigh_there(question: Question) -> Weighed:
    """What `search.weigh` says, or why this machine cannot say it."""
    bench = _bench_of(question.material)
    return Weighed(refused=bench) if isinstance(bench, str) else weigh(bench, question.base, question.steps)


def _bench_of(material: Material) -> Workbench | str:
    """Read once; or why there is none."""
    if material.digest not in _made:
        try:
            bench = make_bench(lifted(read_model(material.model)), material.options, lambda _: None, hold_back=True)
        except InputError as error:
            return str(error)
        except (WattscribeError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        if bench.digest != material.digest:
            return "the model, the speech or the device there is another than here"
        bench.counted.update(material.counts)
        _made.clear()
        _made[material.digest] = bench
    return _made[material.digest]
