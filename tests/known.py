"""For figures that may be missing, where a test knows that they are not."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """The value; fails where there is none."""
    assert value is not None
    return value
