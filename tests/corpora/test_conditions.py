"""conditioned: noise, rooms and long-form over whole corpora; the same row is the same samples everywhere."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from wattscribe.corpora import Corpus, conditioned, open_corpus
from wattscribe.corpora.activity import active_mask, power, snr_db
from wattscribe.corpora.conditions import ConditionedCorpus
from wattscribe.corpora.longform import PAUSE_S, LongformCorpus
from wattscribe.corpora.room import convolve, reverberate
from wattscribe.errors import InputError
from wattscribe.records import Condition, Rejected, Utterance

NAMES = {f"{speaker}-1-{n:04d}": f"SPEAKER {speaker} NUMBER {n}" for speaker in (11, 12) for n in range(4)}


def good(corpus: Corpus) -> list[Utterance]:
    return [item for item in corpus if isinstance(item, Utterance)]


def noisy(corpus: Corpus, **condition: object) -> ConditionedCorpus:
    heard = conditioned(corpus, Condition(**condition))  # type: ignore[arg-type]
    assert isinstance(heard, ConditionedCorpus)
    return heard


def fingerprint(corpus: Corpus) -> str:
    digest = hashlib.sha256()
    for item in good(corpus):
        digest.update(item.id.encode() + corpus.audio(item).astype("<f4").tobytes())
    return digest.hexdigest()


@pytest.fixture
def rir(tmp_path: Path) -> Path:
    """A response whose direct path comes 50 samples late, with one echo, and one with a negative direct path."""
    folder = tmp_path / "rir"
    folder.mkdir()
    for name, sign in (("a", 1.0), ("b", -1.0)):
        response = np.zeros(2000)
        response[30], response[50], response[450] = 0.05, sign * 0.8, 0.4
        soundfile.write(folder / f"{name}.flac", response, 16_000)
    return folder


# --- clean and contradictory ----------------------------------------------------------------------------------------
def test_clean_is_the_corpus_itself() -> None:
    corpus = open_corpus("bundled")
    assert conditioned(corpus, Condition()) is corpus


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition(noise="white"), "noise but no snr_db"),
        (Condition(snr_db=5.0), "snr_db but no noise"),
        (Condition(noise="white", snr_db=float("nan")), "finite"),
        (Condition(longform_s=0.0), "positive"),
        (Condition(longform_s=float("inf")), "positive"),
        (Condition(noise="/nowhere/at/all", snr_db=5.0), "no such noise folder"),
        (Condition(rir="/nowhere/at/all"), "no such impulse response"),
    ],
)
def test_contradictions_are_refused_at_once(condition: Condition, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        conditioned(open_corpus("bundled"), condition)


# --- determinism ----------------------------------------------------------------------------------------------------
GOLDEN = {
    "white": "283a688f942eeb251ea71cd349898ab93276e2dfc5c427e1b071dcac99d7089f",
    "pink": "d692c505bcdd4dd3df7c593ee5b9007d17928ea27bfc7ad5d2181075d6d1d870",
}


@pytest.mark.parametrize("colour", GOLDEN)
def test_the_same_row_is_the_same_samples_on_any_machine(colour: str) -> None:
    """Written down once; another machine, NumPy or Python must arrive at the same bits."""
    assert fingerprint(noisy(open_corpus("bundled"), noise=colour, snr_db=7.5, seed=3)) == GOLDEN[colour]


def test_neither_order_nor_process_nor_place_matters(chapter: Callable[..., Path], tmp_path: Path) -> None:
    one, two = chapter(NAMES, "one"), chapter(NAMES, "elsewhere/two")
    for index in range(5):
        soundfile.write(tmp_path / f"noise{index}.wav", np.random.default_rng(index).uniform(-0.5, 0.5, 20_000), 16_000)
    program = (
        "import sys; from tests.corpora.test_conditions import *; "
        "print(fingerprint(noisy(open_corpus(sys.argv[1]), noise=sys.argv[2], snr_db=4.0, seed=1)))"
    )
    (tmp_path / "copy").mkdir()
    for path in sorted(tmp_path.glob("noise*.wav"), reverse=True):
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "copy" / "deeper").mkdir()
    (tmp_path / "noise").mkdir()
    for path in tmp_path.glob("noise*.wav"):
        path.rename(tmp_path / "noise" / path.name)
    seen = set()
    for corpus, noise, hash_seed in ((one, "noise", "1"), (two, "copy", "2")):
        seen.add(
            subprocess.run(
                [sys.executable, "-c", program, str(corpus), str(tmp_path / noise)],
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                cwd=Path(__file__).resolve().parents[2],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
    heard = noisy(open_corpus(str(one)), noise=str(tmp_path / "noise"), snr_db=4.0, seed=1)
    backwards = {item.id: heard.audio(item) for item in reversed(good(heard))}
    digest = hashlib.sha256(b"".join(i.id.encode() + backwards[i.id].tobytes() for i in good(heard))).hexdigest()
    assert seen == {digest + "\n"}


def test_seeds_and_utterances_differ_but_ratios_share_their_noise(chapter: Callable[..., Path]) -> None:
    corpus = open_corpus(str(chapter(dict.fromkeys(("1-1-0000", "1-1-0001"), "SAME"))))
    first, second = good(corpus)

    def noise_of(seed: int, ratio_db: float, item: Utterance) -> np.ndarray:
        heard = noisy(corpus, noise="white", snr_db=ratio_db, seed=seed).apply(item)
        assert heard.noise_gain is not None
        return (heard.samples / heard.scale - corpus.audio(item))[:8000] / heard.noise_gain

    base = noise_of(0, 10.0, first)
    np.testing.assert_allclose(noise_of(0, 0.0, first), base, atol=1e-4)
    for other in (noise_of(1, 10.0, first), noise_of(0, 10.0, second)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.05


# --- noise ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ratio_db", [30.0, 5.0, -10.0])
@pytest.mark.parametrize("noise", ["white", "pink", "folder"])
def test_the_bundled_speech_is_heard_at_the_ratio_asked(tmp_path: Path, noise: str, ratio_db: float) -> None:
    corpus = open_corpus("bundled")
    soundfile.write(tmp_path / "short.wav", np.random.default_rng(0).uniform(-0.9, 0.9, 7_000), 8_000)
    heard = noisy(corpus, noise=str(tmp_path) if noise == "folder" else noise, snr_db=ratio_db)
    scaled = 0
    for item in good(corpus)[::7]:
        result = heard.apply(item)
        speech = result.scale * corpus.audio(item).astype(np.float64)
        assert len(result.samples) == len(speech)
        assert snr_db(speech, result.samples - speech) == pytest.approx(ratio_db, abs=0.01)
        assert np.abs(result.samples).max() <= 1.0
        assert (result.noise, result.snr_db) == ("short.wav" if noise == "folder" else noise, ratio_db)
        np.testing.assert_array_equal(heard.audio(item), result.samples)
        scaled += result.scale < 1.0
    assert ratio_db == 5.0 or scaled == (9 if ratio_db < 0 else 0)


def test_silent_speech_is_refused_with_its_place(tmp_path: Path, rir: Path) -> None:
    place = tmp_path / "1" / "1"
    place.mkdir(parents=True)
    soundfile.write(place / "1-1-0000.flac", np.zeros(8000), 16_000)
    (place / "1-1.trans.txt").write_text("1-1-0000 NOTHING\n")
    corpus = open_corpus(str(tmp_path / "1"))
    for condition in (Condition(noise="pink", snr_db=3.0), Condition(rir=str(rir))):
        with pytest.raises(InputError, match="silent") as caught:
            conditioned(corpus, condition).audio(good(corpus)[0])
        assert caught.value.where == str(place / "1-1-0000.flac")


def test_what_cannot_be_used_stays_listed(chapter: Callable[..., Path]) -> None:
    root = chapter(NAMES)
    (root / "11" / "1" / "11-1-0001.flac").unlink()
    corpus = open_corpus(str(root))
    assert list(conditioned(corpus, Condition(noise="white", snr_db=0.0))) == list(corpus)
    assert sum(isinstance(item, Rejected) for item in corpus) == 1


# --- rooms ----------------------------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), first=st.integers(1, 400), second=st.integers(1, 400))
def test_convolution_is_that_of_the_textbook(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, first), rng.uniform(-1, 1, second)
    np.testing.assert_allclose(convolve(a, b), np.convolve(a, b), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    delay=st.integers(0, 3000),
    level=st.floats(0.01, 1.0),
    sign=st.sampled_from([-1, 1]),
)
def test_a_room_that_only_delays_and_damps_changes_nothing(seed: int, delay: int, level: float, sign: int) -> None:
    speech = np.random.default_rng(seed).uniform(-0.5, 0.5, 4000)
    response = np.zeros(3001)
    response[delay] = sign * level
    heard = reverberate(speech, response)
    np.testing.assert_allclose(heard, sign * speech, atol=1e-5)


def test_timing_level_and_length_are_kept_in_a_room(chapter: Callable[..., Path], rir: Path) -> None:
    corpus = open_corpus(str(chapter(NAMES)))
    heard = noisy(corpus, rir=str(rir))
    rooms = set()
    for item in good(corpus):
        dry, result = corpus.audio(item).astype(np.float64), heard.apply(item)
        assert result.samples.shape == dry.shape
        mask = active_mask(dry)
        assert power(result.samples / result.scale, mask) == pytest.approx(power(dry, mask), rel=1e-4)
        rooms.add(result.room)
        assert result.noise is None
    assert rooms == {"a.flac", "b.flac"}


def test_a_click_stays_where_it_was(rir: Path) -> None:
    click = np.zeros(4000)
    click[1000] = 0.5
    heard = reverberate(click, soundfile.read(rir / "a.flac")[0])
    assert int(np.argmax(np.abs(heard))) == 1000
    assert heard[1400] / heard[1000] == pytest.approx(0.5, abs=1e-3)
    assert heard[980] / heard[1000] == pytest.approx(0.05 / 0.8, abs=1e-3)


def test_noise_after_the_room_is_at_the_ratio_over_the_speech_as_heard(chapter: Callable[..., Path], rir: Path) -> None:
    corpus = open_corpus(str(chapter(NAMES)))
    both, room = noisy(corpus, rir=str(rir), noise="pink", snr_db=3.0), noisy(corpus, rir=str(rir))
    for item in good(corpus):
        mixed, wet = both.apply(item), room.apply(item)
        speech = wet.samples.astype(np.float64) / wet.scale * mixed.scale
        assert mixed.room == wet.room
        assert snr_db(speech, mixed.samples - speech) == pytest.approx(3.0, abs=0.01)


def test_bad_impulse_responses(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "mute").mkdir()
    soundfile.write(tmp_path / "mute" / "a.wav", np.zeros(100), 16_000)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.flac").write_bytes(b"fLaC")
    for folder, reason in (
        ("none", "no impulse responses"),
        ("mute", "silent"),
        ("torn", r"a.flac: .*Repair it or take it out of the folder"),
    ):
        with pytest.raises(InputError, match=reason):
            conditioned(open_corpus("bundled"), Condition(rir=str(tmp_path / folder)))


# --- long-form ------------------------------------------------------------------------------------------------------
def longform(corpus: Corpus, limit_s: float, seed: int = 0) -> LongformCorpus:
    joined = conditioned(corpus, Condition(longform_s=limit_s, seed=seed))
    assert isinstance(joined, LongformCorpus)
    return joined


def test_pieces_hold_every_utterance_once_in_order_with_its_reference(chapter: Callable[..., Path]) -> None:
    corpus = open_corpus(str(chapter(NAMES)))
    joined = longform(corpus, 4.0)
    pieces = good(joined)
    members = [joined.members(piece) for piece in pieces]
    assert list(itertools.chain(*members)) == good(corpus)
    for piece, parts in zip(pieces, members, strict=True):
        assert {part.speaker for part in parts} == {piece.speaker}
        assert piece.reference == " ".join(part.reference for part in parts)
        assert piece.id == (parts[0].id if len(parts) == 1 else f"{parts[0].id}..{parts[-1].id}")
    assert len({piece.id for piece in pieces}) == len(pieces)
    assert 2 < len(pieces) < 8


def test_a_piece_is_its_utterances_and_silence_between(chapter: Callable[..., Path]) -> None:
    corpus = open_corpus(str(chapter(NAMES)))
    joined = longform(corpus, 30.0)
    for piece in good(joined):
        samples, position, pauses = joined.audio(piece), 0, []
        for index, part in enumerate(joined.members(piece)):
            if index:
                silent = int(np.argmax(np.abs(samples[position + 1 :]) > 0)) + 1
                pauses.append(silent)
                position = position + silent - int(np.argmax(np.abs(corpus.audio(part)) > 0))
            audio = corpus.audio(part)
            np.testing.assert_array_equal(samples[position : position + len(audio)], audio)
            position += len(audio)
        assert position == len(samples)
        assert piece.duration_s == pytest.approx(len(samples) / 16_000)
        assert len(set(pauses)) == len(pauses) == 3
        assert all(PAUSE_S[0] * 16_000 - 2 <= pause <= PAUSE_S[1] * 16_000 + 2 for pause in pauses)


@settings(max_examples=25, deadline=None)
@given(limit_s=st.floats(1.0, 60.0), seed=st.integers(0, 1000))
def test_no_piece_passes_the_limit_unless_one_utterance_does(limit_s: float, seed: int) -> None:
    joined = longform(FEW, limit_s, seed)
    again = longform(FEW, limit_s, seed)
    assert good(joined) == good(again)
    for piece in good(joined):
        assert piece.duration_s is not None
        assert piece.duration_s <= limit_s or len(joined.members(piece)) == 1
    # Greedy: the next utterance of the same speaker would not have fitted with the longest pause.
    for one, two in itertools.pairwise(good(joined)):
        if one.speaker == two.speaker and one.duration_s is not None:
            following = joined.members(two)[0].duration_s or 0.0
            assert one.duration_s + PAUSE_S[1] + following > limit_s - 0.01


class Few:
    """Nine of the bundled utterances, read once."""

    name = "few"

    def __init__(self) -> None:
        corpus = open_corpus("bundled")
        self._items = good(corpus)[:9]
        self._audio = {item.id: corpus.audio(item) for item in self._items}

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._items)

    def audio(self, utterance: Utterance):  # type: ignore[no-untyped-def]
        return self._audio[utterance.id]


FEW = Few()


def test_an_unreadable_utterance_is_rejected_by_itself(chapter: Callable[..., Path]) -> None:
    root = chapter(NAMES)
    broken = root / "11" / "1" / "11-1-0001.flac"
    broken.write_bytes(broken.read_bytes()[:-200])
    joined = longform(open_corpus(str(root)), 60.0)
    rejected = [item for item in joined if isinstance(item, Rejected)]
    assert [(item.id, item.where) for item in rejected] == [("11-1-0001", str(broken))]
    assert "truncated" in rejected[0].reason
    assert [len(joined.members(piece)) for piece in good(joined)] == [3, 4]
    with pytest.raises(InputError, match="no long-form piece"):
        joined.audio(Utterance(id="11-1-0001", speaker="11", reference="", source=""))


def test_long_form_in_a_room_in_noise(chapter: Callable[..., Path], rir: Path) -> None:
    corpus = open_corpus(str(chapter(NAMES)))
    heard = noisy(corpus, longform_s=60.0, rir=str(rir), noise="white", snr_db=12.0)
    assert [item.id for item in good(heard)] == ["11-1-0000..11-1-0003", "12-1-0000..12-1-0003"]
    result = heard.apply(good(heard)[0])
    assert result.room is not None
    assert result.noise == "white"
    assert len(result.samples) == round((good(heard)[0].duration_s or 0) * 16_000)


# --- real speech ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("folder", ["rain", "clock-tick", "household", ""])
def test_real_speech_in_real_noise(shared: Path, folder: str) -> None:
    corpus = open_corpus(str(shared / "librispeech" / "dev-clean"))
    heard = noisy(corpus, noise=str(shared / "noise" / folder), snr_db=5.0)
    files = set()
    for item in good(corpus)[::3]:
        result = heard.apply(item)
        speech = result.scale * corpus.audio(item).astype(np.float64)
        assert snr_db(speech, result.samples - speech) == pytest.approx(5.0, abs=0.01)
        assert np.abs(result.samples).max() <= 1.0
        files.add(result.noise)
    assert len(files) >= 4


def test_real_speech_in_real_rooms(shared: Path) -> None:
    """Deconvolved with the dry speech, what is heard gives back the response with its direct path on time zero."""
    corpus = open_corpus(str(shared / "librispeech" / "dev-clean"))
    heard = noisy(corpus, rir=str(shared / "rir"))
    rooms = set()
    for item in good(corpus)[::5]:
        result, dry = heard.apply(item), corpus.audio(item).astype(np.float64)
        size = 2 * len(dry)
        spectrum = np.fft.rfft(dry, size)
        estimate = np.fft.rfft(result.samples, size) * spectrum.conj() / (np.abs(spectrum) ** 2 + 1e-2)
        lag = int(np.argmax(np.abs(np.fft.irfft(estimate))))
        assert min(lag, size - lag) <= 3
        rooms.add(result.room)
    assert len(rooms) == 3


def test_the_real_chapter_as_long_recordings(shared: Path) -> None:
    joined = longform(open_corpus(str(shared / "librispeech" / "dev-clean")), 120.0)
    pieces = good(joined)
    assert sum(len(piece.reference.split()) for piece in pieces) == 894
    assert 3 <= len(pieces) <= 5
    assert all(len(joined.audio(piece)) <= 120 * 16_000 for piece in pieces)
