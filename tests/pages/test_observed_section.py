"""What was observed stands on the profile's page and in its table."""

from __future__ import annotations

from dataclasses import replace

from tests.pages.test_profile_page import profile
from wattscribe.energy.observed import AsExecuted, ComponentTraffic, Counted, Modelled, Observed, Seen
from wattscribe.pages import observed_section, observed_table, profile_page
from wattscribe.pages.page import Table


def traffic(name: str, calls_per_s: float, shared: bool = True) -> ComponentTraffic:
    counted = Modelled(weight_bytes=4000, state_bytes=20, activation_bytes=300)
    executed = AsExecuted(weight_bytes=4100, state_bytes=20, activation_bytes=700, runtime_bytes=90)
    seen = Seen(read_bytes=4000, written_bytes=1000)
    return ComponentTraffic(
        name=name,
        rows_per_call=1.0,
        calls_per_s=calls_per_s,
        read=counted,
        alone=counted,
        alone_executed=executed,
        alone_seen=seen,
        placed=counted,
        shared_executed=executed if shared else None,
        shared_seen=seen if shared else None,
    )


def observed() -> Observed:
    return Observed(
        local_memory_bytes=1_000_000,
        simulated_bytes=999_424,
        components=(traffic("encoder", 3), traffic("predictor", 2, shared=False), traffic("joiner", 25)),
        calls=(),
        interpreter_bytes=0.0,
        utterance="<b>one</b>",
    )


def test_the_page_shows_what_was_observed() -> None:
    html = profile_page.html(replace(profile(), observed=observed()))
    assert 'id="observed"' in html
    assert "as executed (modelled)" in html
    assert "<b>one</b>" not in html
    assert 'id="observed"' not in profile_page.html(profile())


def test_a_machines_own_counters_are_on_the_page_without_a_simulation() -> None:
    counts = Counted(
        audio_s=1.0,
        last_level_miss_bytes_per_s=2e6,
        memory_read_bytes_per_s=None,
        memory_written_bytes_per_s=None,
        dram_w=None,
        missing=(),
    )
    assert "last-level misses 2 MB" in profile_page.html(replace(profile(), counted=counts))


def test_every_column_has_a_title_and_a_component_without_calls_no_figure() -> None:
    (section,) = observed_section.sections(replace(profile(), observed=observed()))
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert len(tables) == 2
    for table in tables:
        assert all(len(row) == len(table.header) for row in table.rows)
        assert [row[-1].text == "–" for row in table.rows] == [False, True, False]
    assert [cell.text for cell in tables[1].rows[0]] == ["encoder", *["4.1", "0.02", "0.7", "0.09", "4.91"] * 2]


def test_the_order_is_by_bytes_per_second() -> None:
    assert observed().orders == (("joiner", "encoder"), ("joiner", "encoder"))
    assert "by bytes the order is joiner, encoder, as executed and as simulated" in observed_table.second(observed())
