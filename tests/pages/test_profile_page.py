"""The profile's page: whole names, a title over each column, one figure a cell, and where the profile stands in every curve."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from tests.energy.builders import component, device, rates, workload
from wattscribe.compression.outcome import LATENCIES
from wattscribe.energy.profile import Profile, build
from wattscribe.pages import compress_page, profile_page
from wattscribe.pages.page import Figure, Table

LONG = "encoder_embed.out.weight_of_a_layer_with_a_name_that_no_phone_shows_in_one_line"


def profile() -> Profile:
    made = workload(
        component("encoder", [4000], macs=10), component("joiner", [600]), segment_s=0.32, frames_per_segment=8.0
    )
    return build(made, rates(encoder=(3, 3), joiner=(25, 25)), device())


def tables(found: Profile) -> list[Table]:
    shown = found.breakdown
    blocks = [profile_page._components(shown), *profile_page._placement(found), profile_page._sensitivity(found)]
    blocks += [profile_page._order(found), profile_page._constants(shown)]
    return [block for block in blocks if isinstance(block, Table)]


def test_every_column_has_a_title_and_every_cell_one_figure() -> None:
    for table in tables(profile()):
        assert all(title.strip() for title in table.header), table.caption
        for row in table.rows:
            assert len(row) == len(table.header)
            for index in table.numeric:
                figures = re.findall(r"\d[\d.]*(?:e[-+]?\d+)?", row[index].text)
                assert len(figures) <= 1, (table.caption, row[index].text)
                assert not row[index].note, (table.caption, row[index].note)


def test_a_long_name_is_broken_and_not_cut() -> None:
    wrapped = profile_page._wrapped(LONG)
    lines = wrapped.split("<br>")
    assert "".join(lines) == LONG
    assert len(lines) == 3
    assert all(len(line) <= profile_page.NAME_CHARS for line in lines)
    assert profile_page._wrapped("joiner/weight") == "joiner/weight"
    assert profile_page._wrapped("x" * 40) == "x" * 34 + "<br>" + "x" * 6, "one without a place to break"


def test_every_curve_shows_where_the_profile_stands() -> None:
    found = profile()
    curves = [block for block in profile_page._curves(found) if isinstance(block, Figure)]
    assert len(curves) == len([points for points in found.curves.values() if points]) >= 2
    for curve in curves:
        (line,) = curve.layout["shapes"]
        (note,) = curve.layout["annotations"]
        assert line["x0"] == line["x1"] == note["x"]
        assert re.fullmatch(r"now: [\d.]+", note["text"])
    segment = next(curve for curve in curves if curve.id == "curve-segment-s")
    assert segment.layout["annotations"][0]["text"] == "now: 0.32"
    assert segment.description.endswith("Now: 0.32.")


def test_the_compression_page_has_a_title_over_every_column() -> None:
    side = SimpleNamespace(
        **dict.fromkeys(("energy_mj_per_audio_s", "wer", "rtf_cpu", "rtf", "size_bytes", "peak_memory_bytes"), 1.0),
        latency=SimpleNamespace(**dict.fromkeys(LATENCIES, 0.1)),
    )
    dev = SimpleNamespace(
        on="dev", before=side, after=side, non_inferior=None, cannot_show="few", wer_increase=0.0, parts=()
    )
    dev.wer_increase_ci95 = (0.0, 0.0)
    found: Any = SimpleNamespace(dev=dev, test=None, longer=None, notes=(), recipe=SimpleNamespace(done=()))
    shown = [*compress_page._result(found), compress_page._steps(found)]
    headers = [block.header for block in shown if isinstance(block, Table)]
    assert len(headers) == 2
    assert all(title.strip() for header in headers for title in header)
