"""The columns of schema 1: all parts of a row, each column once, in the order that files keep."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tests.stored_runs import made_up_run
from wattscribe.pages.formats import column_types
from wattscribe.results import table
from wattscribe.results.row import COLUMNS, Errors, Row, figures, to_plain


def test_the_order_names_every_figure_of_a_row_once() -> None:
    names = [field.name for field in fields(Row)]
    assert sorted(COLUMNS) == sorted(names)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert (COLUMNS[0], COLUMNS[-1]) == ("model", "model_label")


def test_no_part_names_a_column_of_another() -> None:
    """Of two parts with one name only the last would be seen."""
    own = [name for part in Row.__bases__ for name in part.__annotations__]
    assert len(own) == len(set(own)) == len(COLUMNS)


def test_a_row_is_plain_data_in_that_order() -> None:
    (row,) = table.view(made_up_run(precisions=("fp32",))).rows[:1]
    plain = to_plain(row)
    assert tuple(plain) == COLUMNS
    assert plain["wer"] == row.wer is not None
    assert isinstance(plain["rails"], list)


def test_a_figure_that_a_part_does_not_have_is_refused() -> None:
    assert figures(Errors(wer=0.1))["wer"] == 0.1
    with pytest.raises(TypeError, match="were"):
        Errors(were=0.1)  # type: ignore[call-arg]


def test_parquet_knows_the_kind_of_every_column() -> None:
    kinds = column_types()
    assert (kinds["wer"], kinds["wer_ci95_low"], kinds["rails"], kinds["precision_ok"]) == (float, float, str, bool)
