"""What was built is kept within its bound, and made again where it was dropped."""

from __future__ import annotations

from functools import partial

from wattscribe.compression.shelf import Shelf


def test_the_values_asked_for_last_are_kept_and_the_others_made_again() -> None:
    made: list[str] = []

    def of(name: str) -> bytes:
        made.append(name)
        return name.encode() * 4

    shelf: Shelf[str, bytes] = Shelf(len, most_bytes=8)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert shelf.get(name, partial(of, name)) == name.encode() * 4
    assert made == ["a", "b", "c", "b"], "a was asked for between: b made room for c, c for b"


def test_one_larger_than_the_bound_is_still_answered_and_held() -> None:
    shelf: Shelf[str, bytes] = Shelf(len, most_bytes=2)
    assert shelf.get("a", lambda: b"large") == b"large"
    assert shelf.get("a", lambda: b"made again") == b"large"
