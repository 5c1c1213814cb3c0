"""Rates counted and stated, by hand; batching, segments and int8 lower the energy by what the formula says."""

from __future__ import annotations

import pytest

from tests.energy.builders import CHAPTER, ZIPFORMER, component, device, needs_zipformer, workload
from wattscribe.energy import devices
from wattscribe.energy.breakdown import analyse
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Decoding
from wattscribe.energy.rates import Rate, counted, stated
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError
from wattscribe.records import Counts


def transducer(**more: object) -> Workload:
    settings = {"segment_s": 0.32, "frames_per_segment": 8.0, "vocabulary": 500, **more}
    return workload(component("encoder", [10]), component("predictor", [10]), component("joiner", [10]), **settings)


def test_counted_rates_are_counts_over_seconds() -> None:
    counts = Counts(
        encoder_calls=5,
        encoder_rows=10,
        predictor_calls=6,
        predictor_rows=12,
        joiner_calls=20,
        joiner_rows=80,
        frames=80,
        tokens=6,
    )
    found = counted(transducer(), counts, 2.0, words=4)
    assert found.components == {
        "encoder": Rate(calls_per_s=2.5, rows_per_s=5),
        "predictor": Rate(calls_per_s=3, rows_per_s=6),
        "joiner": Rate(calls_per_s=10, rows_per_s=40),
    }
    assert (found.source, found.frames_per_s, found.tokens_per_s, found.words_per_s) == ("counted", 40, 3, 2)
    with pytest.raises(InputError, match="rates need audio"):
        counted(transducer(), counts, 0.0)


def test_stated_frame_by_frame() -> None:
    one = stated(transducer(), tokens_per_s=4, decoding="frame-by-frame")
    assert one.components["encoder"].calls_per_s == pytest.approx(3.125)
    assert one.components["joiner"] == Rate(calls_per_s=25, rows_per_s=25)
    many = stated(transducer(symbols_per_frame="many"), tokens_per_s=4, decoding="frame-by-frame")
    assert many.components["joiner"] == Rate(calls_per_s=29, rows_per_s=29)
    beam = stated(transducer(), tokens_per_s=4, decoding="frame-by-frame", beam=4)
    assert beam.components["joiner"] == Rate(calls_per_s=25, rows_per_s=25 * 3.51)  # one call for all live hypotheses
    assert beam.components["predictor"] == Rate(calls_per_s=4 * 2.87, rows_per_s=4 * 4.7)


def test_stated_batched() -> None:
    found = stated(transducer(), tokens_per_s=4)
    joiner = found.components["joiner"]
    assert joiner.calls_per_s == pytest.approx(3.125 + 4 * 7 / 8)  # a token on the last of 8 frames needs none
    assert joiner.rows_per_s == pytest.approx(25 + 4 * 3.5)  # a token is followed by 3.5 of 8 frames on average
    beam = stated(transducer(), tokens_per_s=4, beam=4)
    asking, grown = 4 * 2.87, 4 * 4.7
    joiner = beam.components["joiner"]
    assert joiner.calls_per_s == pytest.approx(
        asking + (25 - asking) / 8
    )  # frames that ask anyway need no segment's call
    assert joiner.rows_per_s == pytest.approx(grown * 4.5 + 25 * 3.51 - grown)
    assert beam.components["predictor"] == Rate(calls_per_s=asking, rows_per_s=grown)


def test_a_beam_between_and_beyond_the_counted_ones() -> None:
    rows = [
        stated(transducer(), tokens_per_s=4, beam=beam).components["predictor"].rows_per_s
        for beam in (1, 2, 3, 4, 8, 16)
    ]
    assert rows == pytest.approx([4, 4 * 2.81, 2 * (2.81 + 4.7), 4 * 4.7, 4 * 9.37, 4 * 18.74])
    busy = stated(transducer(), tokens_per_s=20, beam=8).components["predictor"]
    assert busy.calls_per_s == 25  # no more often than once a frame


def test_a_decoder_takes_its_hypotheses_in_one_call_per_token() -> None:
    whisper = Workload(
        name="toy",
        kind="encoder-decoder",
        components=(component("encoder", [10]), component("decoder", [10])),
        segment_s=30.0,
    )
    found = stated(whisper, tokens_per_s=4, beam=5).components
    assert found == {
        "encoder": Rate(calls_per_s=1 / 30, rows_per_s=1 / 30),
        "decoder": Rate(calls_per_s=4, rows_per_s=20),
    }
    gate = Workload(name="toy", kind="ctc", components=(component("encoder", [10]),), segment_s=0.5)
    assert stated(gate).components == {"encoder": Rate(calls_per_s=2, rows_per_s=2)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "`beam` must be above 0"),
        ({"chunk_ms": 0}, "`chunk_ms` must be above 0"),
        ({"tokens_per_s": -1}, "`tokens_per_s` must be between 0 and"),
        ({"frames_per_s": -5}, "`frames_per_s` must be above 0"),
    ],
)
def test_rates_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stated(transducer(), **options)  # type: ignore[arg-type]


def test_batching_longer_segments_and_int8_by_the_formula() -> None:
    made = workload(
        component("encoder", [5000], macs=100),
        component("predictor", [100]),
        component("joiner", [3000], macs=10),
        segment_s=0.1,
        frames_per_segment=4.0,
    )
    far = device().with_local_memory(0)

    def joiner_reads(decoding: str) -> float:
        found = analyse(made, stated(made, tokens_per_s=5, decoding=decoding), far)  # type: ignore[arg-type]
        return found.component("joiner").weight_reads_w["far"].value

    assert joiner_reads("frame-by-frame") / joiner_reads("batched") == pytest.approx(40 / (10 + 5 * 3 / 4))

    def encoder_reads(chunk_ms: float) -> float:
        return analyse(made, stated(made, chunk_ms=chunk_ms), far).component("encoder").weight_reads_w["far"].value

    assert encoder_reads(100) / encoder_reads(400) == pytest.approx(4)
    quarter = workload(component("encoder", [1250], macs=100, dtype="int8"), *made.components[1:], segment_s=0.1)
    at = stated(made, tokens_per_s=5)
    full, eighth = (analyse(each, at, far).component("encoder") for each in (made, quarter))
    assert full.weight_reads_w["far"].value / eighth.weight_reads_w["far"].value == pytest.approx(4)
    assert full.arithmetic_w.value / eighth.arithmetic_w.value == pytest.approx(4)  # 4 pJ and 1 pJ per MAC


@needs_zipformer
def test_the_counted_invocations_of_a_real_decode_prove_it() -> None:
    """Batched greedy decoding of real speech: the same tokens, a third of the joiner calls, and the energy that follows."""
    from wattscribe.profiling import decode

    made, phone = of_directory(ZIPFORMER), devices.load("phone").with_local_memory(0)
    plain = decode(str(ZIPFORMER), str(CHAPTER), made, decoding="frame-by-frame", limit=4)
    batched = decode(str(ZIPFORMER), str(CHAPTER), made, decoding="batched", limit=4)
    assert plain.tokens_per_s == batched.tokens_per_s
    assert plain.frames_per_s == batched.frames_per_s
    fewer = batched.components["joiner"].calls_per_s / plain.components["joiner"].calls_per_s
    assert fewer < 0.4
    assert plain.components["joiner"].calls_per_s == pytest.approx(plain.frames_per_s)
    one, other = (analyse(made, at, phone).component("joiner").weight_reads_w["dram"].value for at in (plain, batched))
    assert other / one == pytest.approx(fewer)
    small = of_directory(ZIPFORMER, precision="int8")
    third = analyse(small, batched, phone).component("joiner").weight_reads_w["dram"].value
    sizes = small.component("joiner").call_bytes / made.component("joiner").call_bytes
    assert third / other == pytest.approx(sizes)
    assert sizes < 0.26


@needs_zipformer
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("decoding", ["batched", "frame-by-frame"])
def test_what_is_stated_is_what_is_counted(beam: int, decoding: Decoding) -> None:
    from wattscribe.profiling import decode

    made = of_directory(ZIPFORMER)
    found = decode(str(ZIPFORMER), str(CHAPTER), made, decoding=decoding, beam=beam, limit=25)
    guess = stated(
        made, tokens_per_s=found.tokens_per_s or 0.0, frames_per_s=found.frames_per_s, decoding=decoding, beam=beam,
        chunk_ms=1000 * 8 / (found.frames_per_s or 0.0),
    )  # fmt: skip
    for name in ("encoder", "predictor", "joiner"):
        assert guess.components[name].calls_per_s == pytest.approx(found.components[name].calls_per_s, rel=0.05), name
        rows = found.components[name].rows_per_s
        assert guess.components[name].rows_per_s == pytest.approx(
            rows, rel=0.05 if beam > 1 or name != "joiner" else 0.15
        )
