"""The signal-to-noise ratio, the rule for active samples, and the noise itself."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.corpora.conftest import tone
from wattscribe.corpora.activity import FRAME_SAMPLES, active_mask, power, snr_db
from wattscribe.corpora.draws import Draws
from wattscribe.corpora.mixing import mix
from wattscribe.corpora.noise import CROSSFADE_SAMPLES, Recordings, cut, loop, open_noise, pink, white
from wattscribe.errors import InputError


def speechlike(seed: int, count: int, level: float) -> NDArray[np.float32]:
    """Noise bursts with pauses between them, as speech has; shape (count,)."""
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.choice([0.0, 0.001, 0.3, 1.0], size=count // 700 + 1), 700)[:count]
    return np.clip(level * envelope * rng.standard_normal(count), -1, 1).astype(np.float32)


# --- active samples -------------------------------------------------------------------------------------------------
def test_pauses_are_not_speech() -> None:
    hiss = 0.001 * np.random.default_rng(0).standard_normal(16_000)
    signal = np.concatenate([hiss, tone(1.0), np.zeros(8000), tone(0.5), hiss])
    mask = active_mask(signal)
    expected = np.zeros(len(signal), dtype=bool)
    expected[16_000:32_000] = expected[40_000:48_000] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(("below_db", "active"), [(15.0, True), (17.5, False)])
def test_the_margin_is_that_of_p56(below_db: float, active: bool) -> None:
    """A short quiet part 15.9 dB under the active level is the border."""
    quiet = tone(0.1) * 10 ** (-below_db / 20)
    mask = active_mask(np.concatenate([tone(9.9), quiet]))
    assert bool(mask[-1]) is active
    assert mask[: int(9.9 * 16_000)].all()


def test_the_rule_ends_at_a_level_that_agrees_with_itself() -> None:
    signal = speechlike(3, 50_000, 0.2)
    mask = active_mask(signal)
    level = power(signal, mask)
    starts = range(0, len(signal), FRAME_SAMPLES)
    frames = [float(np.mean(np.square(signal[s : s + FRAME_SAMPLES], dtype=np.float64))) for s in starts]
    kept = [bool(mask[s]) for s in starts]
    border = level * 10 ** (-15.9 / 10)
    assert all(power_ >= border * (1 - 1e-9) for power_, is_kept in zip(frames, kept, strict=True) if is_kept)
    assert all(power_ < border for power_, is_kept in zip(frames, kept, strict=True) if not is_kept)
    assert 0 < sum(kept) < len(kept)


@pytest.mark.parametrize("count", [0, 1, 319, 320, 321])
def test_short_and_silent_signals(count: int) -> None:
    assert active_mask(np.zeros(count)).tolist() == [False] * count
    assert active_mask(np.ones(count)).tolist() == [True] * count


def test_the_level_of_the_signal_does_not_matter() -> None:
    signal = speechlike(5, 30_000, 0.5)
    np.testing.assert_array_equal(active_mask(signal), active_mask(signal * np.float32(2.0**-10)))


# --- mixing ---------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(200, 40_000),
    level=st.floats(1e-3, 1.0),
    noise_level=st.floats(1e-4, 1.0),
    ratio_db=st.floats(-30.0, 60.0),
)
def test_the_ratio_is_exact_the_length_stays_and_nothing_clips(
    seed: int, count: int, level: float, noise_level: float, ratio_db: float
) -> None:
    speech = speechlike(seed, count, level)
    assume(active_mask(speech).any())
    noise = noise_level * np.random.default_rng(seed + 1).standard_normal(count)
    mixed = mix(speech, noise, ratio_db)
    assert mixed.samples.dtype == np.float32
    assert mixed.samples.shape == speech.shape
    assert np.abs(mixed.samples).max() <= 1.0
    scaled = mixed.scale * speech.astype(np.float64)
    assert snr_db(scaled, mixed.samples - scaled) == pytest.approx(ratio_db, abs=0.01)
    peak = np.abs(speech + mixed.noise_gain * noise).max()
    assert (mixed.scale == 1.0) is bool(peak <= 1.0)
    if peak > 1.0:
        assert np.abs(mixed.samples).max() == pytest.approx(1.0, abs=1e-5)


def test_the_ratio_is_over_active_samples_not_over_all() -> None:
    """Half a second of pause must not change the noise under the speech."""
    noise = np.random.default_rng(0).standard_normal(32_000)
    alone = mix(tone(1.0), noise[:16_000], 10.0)
    padded = mix(np.concatenate([tone(1.0), np.zeros(16_000)]), noise, 10.0)
    np.testing.assert_array_equal(alone.samples, padded.samples[:16_000])


def test_silence_has_no_ratio() -> None:
    with pytest.raises(InputError, match="speech is silent"):
        mix(np.zeros(1000), np.ones(1000), 10.0)
    with pytest.raises(InputError, match="noise is silent"):
        mix(tone(0.1), np.zeros(1600), 10.0)
    with pytest.raises(InputError, match="equally long"):
        mix(tone(0.1), np.ones(1601), 10.0)
    for ratio in (np.nan, np.inf):
        with pytest.raises(InputError, match="finite"):
            mix(tone(0.1), np.ones(1600), ratio)


# --- draws ----------------------------------------------------------------------------------------------------------
def test_draws_are_the_same_on_every_machine() -> None:
    """Fixed values: they may never change, or old runs could not be repeated."""
    draws = Draws(7, "84-121-0000", "noise")
    assert [draws.below(1000) for _ in range(5)] == GOLDEN_DRAWS
    digest = hashlib.sha256(Draws(0, "é").gaussian(1000).astype("<f8").tobytes()).hexdigest()
    assert digest == GOLDEN_GAUSSIAN


GOLDEN_DRAWS = [839, 800, 386, 438, 413]
GOLDEN_GAUSSIAN = "5d867e50dc640e05aec7c54a6970ed6de35b9c40621f54fcfa250d49e48682df"


def test_names_do_not_run_into_each_other() -> None:
    streams = [Draws(1, "a", "b"), Draws(1, "ab"), Draws(1, "a", "b", ""), Draws(2, "a", "b"), Draws(1, "b", "a")]
    assert len({stream.below(2**63) for stream in streams}) == 5


def test_draws_cover_their_range_evenly() -> None:
    draws = Draws(0, "even")
    counts = np.bincount([draws.below(6) for _ in range(6000)], minlength=6)
    assert counts.min() > 850
    values = [draws.between(2.0, 3.0) for _ in range(2000)]
    assert 2.0 <= min(values) < 2.01
    assert 2.99 < max(values) < 3.0


# --- coloured noise -------------------------------------------------------------------------------------------------
def octave_powers(samples: NDArray[np.float64]) -> list[float]:
    """Power in dB in the octaves from 62.5 Hz up to 8 kHz."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    edges = 62.5 * 2.0 ** np.arange(8)
    return [10 * np.log10(spectrum[(hz >= a) & (hz < b)].sum()) for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize(("make", "slope_db"), [(white, 3.01), (pink, 0.0)])
def test_the_colours_have_their_slopes(make: object, slope_db: float) -> None:
    samples = make(Draws(0, "colour"), 400_000)  # type: ignore[operator]
    assert np.mean(samples**2) == pytest.approx(1.0, rel=0.05)
    assert abs(samples.mean()) < 0.05
    steps = np.diff(octave_powers(samples))
    assert steps == pytest.approx([slope_db] * len(steps), abs=0.45)


def test_white_noise_is_gaussian_and_uncorrelated() -> None:
    samples = white(Draws(3, "w"), 200_000)
    assert np.mean(samples**4) == pytest.approx(3.0, abs=0.15)
    assert np.abs(samples).max() <= 6.0
    for lag in (1, 2, 3, 12):
        assert abs(np.mean(samples[lag:] * samples[:-lag])) < 0.01


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("count", [1, 2, 65_536, 65_537])
def test_coloured_noise_of_any_length(colour: str, count: int) -> None:
    stretch = open_noise(colour).stretch(Draws(0, "x"), np.ones(count, dtype=bool))
    assert stretch.samples.shape == (count,)
    assert stretch.source == colour


# --- recordings -----------------------------------------------------------------------------------------------------
def test_short_noise_is_looped_without_a_click() -> None:
    """A tone whose end does not meet its beginning: the largest step inside the loop stays that of the tone."""
    samples = tone(0.1003, hz=313.0)
    ring = loop(samples)
    assert len(ring) == len(samples) - CROSSFADE_SAMPLES
    long = cut(samples, 100, 40_000)
    np.testing.assert_array_equal(long, np.tile(ring, 30)[100 : 100 + 40_000])
    assert np.abs(np.diff(long)).max() < 1.6 * np.abs(np.diff(samples)).max()
    assert np.abs(samples[-1] - samples[0]) > 3 * np.abs(np.diff(samples)).max()


def test_the_fade_of_a_loop_keeps_the_power_of_noise() -> None:
    rings = np.stack([loop(np.random.default_rng(k).standard_normal(400)) for k in range(2000)])
    assert np.mean(rings[:, :CROSSFADE_SAMPLES] ** 2, axis=0) == pytest.approx(np.ones(CROSSFADE_SAMPLES), abs=0.2)
    assert np.mean(rings[:, :CROSSFADE_SAMPLES] ** 2) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("length", [1, 2, 3, 159, 320])
def test_noise_of_a_few_samples_still_fills(length: int) -> None:
    assert np.all(cut(np.ones(length), length - 1, 1000) > 0)


def test_recordings_are_drawn_by_relative_path_evenly_and_repeatably(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        for index in range(4):
            place = tmp_path / folder / ("sub" if index % 2 else "")
            place.mkdir(parents=True, exist_ok=True)
            soundfile.write(place / f"{index}.flac", tone(1.0, hz=100.0 * (index + 1)), 16_000)
    first, second = Recordings(tmp_path / "one"), Recordings(tmp_path / "two")
    mask = np.ones(4000, dtype=bool)
    drawn = [first.stretch(Draws(0, str(k)), mask) for k in range(60)]
    again = [second.stretch(Draws(0, str(k)), mask) for k in range(60)]
    assert [(s.source, s.offset) for s in drawn] == [(s.source, s.offset) for s in again]
    assert {s.source for s in drawn} == {"0.flac", "2.flac", "sub/1.flac", "sub/3.flac"}
    assert len({s.offset for s in drawn}) > 50
    assert max(s.offset for s in drawn) <= 12_000
    assert not any(s.looped for s in drawn)


def test_a_gap_in_sparse_noise_is_passed_over(tmp_path: Path) -> None:
    """One tick in ten seconds: nearly every offset gives silence, but the speech must meet the tick."""
    tick = np.zeros(160_000)
    tick[80_000:80_400] = 0.5
    soundfile.write(tmp_path / "tick.flac", tick, 16_000)
    soundfile.write(tmp_path / "zero.flac", np.zeros(16_000), 16_000)
    source = Recordings(tmp_path)
    for key in range(10):
        stretch = source.stretch(Draws(0, str(key)), np.ones(32_000, dtype=bool))
        assert stretch.source == "tick.flac"
        assert np.abs(stretch.samples).max() > 0.4


def test_folders_that_cannot_serve_as_noise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such noise folder"):
        open_noise(str(tmp_path / "nowhere"))
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(InputError, match="no audio to use as noise"):
        open_noise(str(tmp_path))
    soundfile.write(tmp_path / "zero.wav", np.zeros(1000), 16_000)
    with pytest.raises(InputError, match="silent"):
        open_noise(str(tmp_path))
    (tmp_path / "a.wav").write_text("not audio at all")
    with pytest.raises(InputError, match="not audio"):
        open_noise(str(tmp_path))
