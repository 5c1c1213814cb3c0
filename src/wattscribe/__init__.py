"""What every transcribed second costs — energy, memory, time, word errors — where it arises, and how to lower it.

The verbs of the command line are functions here: `wattscribe.bench(…)`, `wattscribe.compare(…)`; docs/api.md shows them.
`import wattscribe` itself loads nothing: a verb comes with its first use, and its rooms with its first call.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; importing `typing` would take longer than all the rest here

if TYPE_CHECKING:
    from wattscribe.verbs import (
        attach,
        bench,
        calibrate,
        compare,
        compress,
        data,
        devices,
        export,
        fleet,
        measure,
        meters,
        profile,
        report,
        train,
        transcribe,
        tune,
    )  # fmt: skip

__version__ = "0.1.0"

__all__ = [
    "attach", "bench", "calibrate", "compare", "compress", "data", "devices", "export", "fleet", "measure", "meters",
    "profile", "report", "train", "transcribe", "tune",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wattscribe import verbs

    globals()[name] = value = getattr(verbs, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
