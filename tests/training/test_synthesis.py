"""Speech from text, its cache, and what is changed in it."""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import SENTENCES
from wattscribe.errors import InputError, TrainingError
from wattscribe.training import augment, sound, speech_cache, synthesis
from wattscribe.training.data import Source, SpeechData
from wattscribe.training.features import SILENCE, log_mels
from wattscribe.training.sound import Rooms, SoundChanges
from wattscribe.training.synthesis import HELD_OUT_ESPEAK, TRAINING_ESPEAK, Voice, is_held_out, speak, vary

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def test_espeak_speaks_every_voice() -> None:
    """Each voice as its own: the same text by one voice twice is more alike than by two."""

    def spectrum(name: str) -> np.ndarray:
        samples = speak("a fine day", Voice(engine="espeak", name=name))
        assert 8_000 < len(samples) < 40_000
        return np.asarray(log_mels(samples).mean(0))

    names = (*TRAINING_ESPEAK[:48:7], *HELD_OUT_ESPEAK[:2])
    heard = [spectrum(name) for name in names]
    again = [spectrum(name) for name in names]
    apart = np.array([[np.abs(one - other).mean() for other in again] for one in heard])
    assert (np.diag(apart) <= apart.min(1) + 1e-6).all()


def test_rate_and_pitch_are_heard() -> None:
    slow, fast = (speak("a rather long sentence", Voice(engine="espeak", name="en-us", rate=r)) for r in (0.8, 1.25))
    assert len(slow) > 1.2 * len(fast)
    low, high = (speak("aaa", Voice(engine="espeak", name="en-us", pitch=p)) for p in (0.4, 1.8))
    assert not np.array_equal(low, high)


@needs_flite
@pytest.mark.parametrize("name", [*synthesis.TRAINING_FLITE, *synthesis.HELD_OUT_FLITE])
def test_flite_speaks(name: Any) -> None:
    slow, fast = (speak("a rather long sentence", Voice(engine="flite", name=name, rate=r)) for r in (0.8, 1.25))
    assert np.abs(fast).max() > 0.05
    assert len(slow) > 1.2 * len(fast)


def test_nothing_to_say_and_unknown_voices() -> None:
    with pytest.raises(InputError, match="no text to speak"):
        speak("  ", Voice(engine="espeak", name="en-us"))
    with pytest.raises(InputError, match="knows no voice 'xx-yy'"):
        speak("hello", Voice(engine="espeak", name="xx-yy"))


def test_flite_missing_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TrainingError, match="apt-get install flite"):
        speak("hello", Voice(engine="flite", name="slt"))


def test_no_training_voice_is_held_out() -> None:
    voices = [Voice(engine="espeak", name=n) for n in TRAINING_ESPEAK] + [
        Voice(engine="flite", name=n) for n in synthesis.TRAINING_FLITE
    ]
    assert not any(map(is_held_out, voices))
    assert all(is_held_out(Voice(engine="espeak", name=name)) for name in HELD_OUT_ESPEAK)
    assert is_held_out(Voice(engine="espeak", name="en-gb-scotland+" + HELD_OUT_ESPEAK[0].split("+")[1]))


def test_a_held_out_voice_is_refused_in_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="flite-rms is kept for dev and test"):
        speech_cache.write_shard(tmp_path, 0, [("hello", Voice(engine="flite", name="rms"))])


def test_shards_follow_from_seed_and_number() -> None:
    first = speech_cache.plan_shard(SENTENCES, 3, seed=1)
    assert first == speech_cache.plan_shard(SENTENCES, 3, seed=1)
    assert first != speech_cache.plan_shard(SENTENCES, 3, seed=2)
    said = {text for number in range(2) for text, _ in speech_cache.plan_shard(SENTENCES, number)}
    assert set(SENTENCES) <= said
    with pytest.raises(InputError, match="no sentences"):
        speech_cache.plan_shard([], 0)


def test_a_shard_gives_back_what_was_spoken(spoken: Any, tmp_path: Path) -> None:
    (shard,) = speech_cache.shards(spoken)
    assert [item.text for item in shard.utterances] == list(SENTENCES)
    item = shard.utterances[7]
    assert np.abs(shard.features(item) - log_mels(shard.audio(item))).mean() < 0.02  # 16 bits apart
    samples = [np.random.default_rng(i).standard_normal(5000 + i).astype(np.float32) * 0.1 for i in range(3)]
    speech_cache.write_utterances(tmp_path, 4, [(str(i), "someone", "", s) for i, s in enumerate(samples)])
    (shard,) = speech_cache.shards(tmp_path)
    for item, sample in zip(shard.utterances, samples, strict=True):
        np.testing.assert_allclose(shard.audio(item), sample, atol=1e-4)
        np.testing.assert_allclose(shard.features(item), log_mels(sample), atol=0.02)


def test_a_broken_off_cache_is_filled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_cache, "SENTENCES_PER_SHARD", 2)
    monkeypatch.setattr(speech_cache, "ESPEAK_SHARE", 1.0)
    assert len(list(speech_cache.fill(tmp_path, SENTENCES, [0, 1]))) == 2
    texts = [item.text for item in speech_cache.shards(tmp_path)[1].utterances]
    (tmp_path / "shard-00001.jsonl").unlink()  # killed before the list was written: the shard is not whole
    assert len(speech_cache.shards(tmp_path)) == 1
    assert [path.stem for path in speech_cache.fill(tmp_path, SENTENCES, [0, 1])] == ["shard-00001"]
    assert [item.text for item in speech_cache.shards(tmp_path)[1].utterances] == texts


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(TrainingError, match="No space left"):
        speech_cache.write_utterances(tmp_path, 0, [("a", "b", "c", np.zeros(4000, np.float32))])
    assert not speech_cache.shards(tmp_path)


@pytest.mark.parametrize("suffix", [".jsonl", ".npy", ".mels.npy"])
def test_a_damaged_shard_is_named(spoken: Any, vocabulary: Any, tmp_path: Path, suffix: Any) -> None:
    """Cut off within a line, at a line's end, or empty."""
    for share in (0.0, 0.5, None):
        for file in spoken.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        path = tmp_path / f"shard-00000{suffix}"
        whole = path.read_bytes()
        path.write_bytes(whole[: whole[:-1].rfind(b"\n") + 1] if share is None else whole[: int(len(whole) * share)])
        with pytest.raises(TrainingError, match=rf"shard-00000{suffix}.*is damaged. Remove shard-00000\.\*"):
            SpeechData([Source(folder=str(tmp_path))], vocabulary)
    path.unlink()
    if suffix != ".jsonl":
        with pytest.raises(TrainingError, match="damaged"):
            speech_cache.shards(tmp_path)


# --- changes ----------------------------------------------------------------------------------------------------------
MELS = log_mels(np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_stretch_changes_the_length_alone(factor: Any) -> None:
    changed = augment.stretch(MELS, factor)
    assert len(changed) == pytest.approx(len(MELS) / factor, abs=2)
    np.testing.assert_allclose(changed.mean(), MELS.mean(), atol=0.2)
    if factor == 1.0:
        np.testing.assert_allclose(changed, MELS[: len(changed)], atol=1e-6)


def test_warp_moves_a_tone_where_it_belongs() -> None:
    seconds = np.arange(16_000) / 16_000
    tone, higher = (log_mels((0.3 * np.sin(2 * np.pi * hz * seconds)).astype(np.float32)) for hz in (1000, 1150))
    warped = augment.warp(tone, 1.15)
    assert abs(int(warped[50].argmax()) - int(higher[50].argmax())) <= 1
    assert int(tone[50].argmax()) != int(higher[50].argmax())


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_noise_is_added_at_its_ratio(snr_db: Any) -> None:
    noise = np.zeros_like(MELS)
    added = np.exp(augment.add_noise(MELS, noise, snr_db)) - np.exp(MELS)
    energy = np.exp(MELS).sum(1)
    active = energy[energy >= np.median(energy)].mean()
    assert 10 * np.log10(active / added.sum(1).mean()) == pytest.approx(snr_db, abs=0.05)


def test_noise_on_features_is_noise_on_sound() -> None:
    """Adding energies of log-mels against adding the sounds: alike on average."""
    rng = np.random.default_rng(1)
    speech, noise = (rng.standard_normal(32_000).astype(np.float32) * level for level in (0.1, 0.05))
    by_features = augment.add_noise(log_mels(speech), log_mels(noise), 10 * np.log10(4))
    together = log_mels(speech + noise)
    assert abs(float((by_features - together).mean())) < 0.15
    assert abs(float((log_mels(speech) - together).mean())) > 0.2  # speech alone is not the same


def test_masking_hides_what_it_says() -> None:
    how = augment.Augmentation(frequency_masks=1, frequency_mask_bins=10, time_masks=0)
    masked = augment.mask(MELS, how, np.random.default_rng(3))
    constant = np.ptp(masked, axis=0) < 1e-6
    assert 1 <= constant.sum() <= 10
    np.testing.assert_array_equal(masked[:, ~constant], MELS[:, ~constant])


def test_augment_is_repeatable_and_keeps_time_for_a_teacher() -> None:
    bank = augment.NoiseBank(seconds=1.0)
    one, two = (augment.augment(MELS, augment.Augmentation(), bank, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.isfinite(one).all()
    assert one.min() >= SILENCE - 1e-3
    how = augment.Augmentation(silence_s=(0.3, 0.3))
    kept = augment.augment(MELS, how, bank, np.random.default_rng(5), keep_time=True)
    assert len(kept) == len(MELS) + 30
    untouched = augment.augment(MELS, augment.NONE, bank, np.random.default_rng(6))
    np.testing.assert_allclose(untouched, MELS)


def test_rooms_and_speed() -> None:
    rng = np.random.default_rng(7)
    samples = rng.standard_normal(16_000).astype(np.float32) * 0.1
    how = SoundChanges(share=1, speed=(1.25, 1.25), room_share=1.0)
    changed = sound.change(samples, how, Rooms(how), rng)
    assert len(changed) == pytest.approx(12_800, abs=20)
    click = np.zeros(4000, np.float32)
    click[100] = 0.5
    response = Rooms(how).draw(rng)
    wet = sound.in_room(click, response)
    assert int(np.abs(wet).argmax()) == 100
    np.testing.assert_allclose(wet[100 : 100 + 500] / wet[100], response[:500], atol=1e-4)
    assert (wet**2).sum() == pytest.approx(float((click**2).sum()), rel=1e-3)


def test_broken_audio_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.flac"
    bad.write_bytes(b"fLaC nonsense")
    with pytest.raises(InputError, match=r"bad\.flac: the audio cannot be decoded"):
        sound.read_sound(bad)
    with pytest.raises(InputError, match="holds no audio"):
        sound.sound_files(tmp_path / "nothing")


def test_vary_stays_the_same_speaker() -> None:
    voice = Voice(engine="espeak", name="en-us+f1")
    changed = vary(voice, random.Random(1))
    assert changed.speaker == voice.speaker
    assert changed != voice
