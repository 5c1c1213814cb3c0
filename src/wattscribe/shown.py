"""What draws itself in a notebook."""

from __future__ import annotations

from importlib import import_module


class Shown:
    """A fact with `_repr_html_`. Pages know HTML and import the facts, so they are named here, and loaded when one is drawn."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """A table and what must be read with it; no script, nothing from a network, every text escaped."""
        return str(import_module("wattscribe.pages.notebook").html(self))
