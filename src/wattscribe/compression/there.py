"""A search's bench on a worker, made from the worker's own files: what is sent for it, and a recipe weighed on it."""

from __future__ import annotations

from dataclasses import replace

from wattscribe.compression.checked import Placed, placed
from wattscribe.compression.elsewhere import Elsewhere, Material, Question, Weighed, Workers
from wattscribe.compression.kinds import read_model
from wattscribe.compression.lift import lifted
from wattscribe.compression.run import make_bench
from wattscribe.compression.search import weigh
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import InputError, WattscribeError


def by(workers: Workers) -> Elsewhere:
    """As a search takes them."""
    return Elsewhere(workers=workers, weigh=weigh_there, material=material_of)


def material_of(bench: Workbench, model: str, options: Placed) -> Material:
    """What is sent; no place of this machine's is in it but those that the user named."""
    alone = replace(options, storage=None, cache=None, journal=None, leave=None, minutes=None, beside=())
    bench.energy_mj(bench.original)  # counts what all recipes need that change no decoding
    return Material(model=model, options=alone, digest=bench.digest, counts=dict(bench.counted))


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
            bench = make_bench(
                lifted(read_model(material.model)), placed(material.options), lambda _: None, hold_back=True
            )
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
