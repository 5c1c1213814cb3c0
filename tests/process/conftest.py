"""Models of the other rooms' tests, each made once."""

from __future__ import annotations

from tests.recognizers.conftest import checkpoint, ct2_model, sherpa_model  # noqa: F401  (fixtures)
