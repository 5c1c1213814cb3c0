"""What holds for every test.

Property tests draw the same cases on every run; the order of the tests is drawn anew, and the closing lines say from which seed,
so that a red run can be repeated: `pytest --randomly-seed=N`. Tests of real data carry the marker `data`, those that nothing may
run beside `alone`: `make test-parallel` runs all others two at a time. No library reports on us.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.shared import DATA
from wattscribe.as_found import TELEMETRY_OFF

os.environ.update(TELEMETRY_OFF)  # before any test imports a library
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


ALONE = (
    "tests/fleets",
    "tests/runs/test_killed.py",
    "tests/runs/test_measuring.py",
    "tests/runs/test_preparation.py",
    "tests/runs/test_worker.py",
    "tests/cli/test_demo.py",
    "tests/metering/test_sampler.py",
    "tests/metering/test_simulated_board.py",
    "tests/process",
)
"""What times things, fills both cores or counts processes."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data; whatever uses it is a `data` test."""
    return DATA


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses the fixture `shared` is a `data` test; without the data these are skipped."""
    missing = pytest.mark.skip(reason=f"the real data are not at {DATA}")
    for item in items:
        where = item.path.relative_to(Path(__file__).parents[1]).as_posix()
        if where.startswith(ALONE):
            item.add_marker("alone")
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if item.get_closest_marker("data") is not None and not DATA.is_dir():
            item.add_marker(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seed = getattr(config.option, "randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"order of the tests: --randomly-seed={seed}")
