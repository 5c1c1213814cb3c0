"""open_corpus: LibriSpeech folders, manifests, datasets and the bundled speech; what is bad is listed with its reason."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora.conftest import tone
from wattscribe.corpora import Corpus, open_corpus
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.records import Rejected, Utterance

THREE = {"84-121-0001": "FIRST ONE", "84-121-0000": "SECOND", "7-9-0000": "THIRD OF ALL"}


def split(corpus: Corpus) -> tuple[list[Utterance], list[Rejected]]:
    items = list(corpus)
    assert items == list(corpus), "listing must be repeatable"
    return [i for i in items if isinstance(i, Utterance)], [i for i in items if isinstance(i, Rejected)]


# --- LibriSpeech ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("below", ["", "84", "84/121"])
def test_librispeech_at_any_depth(chapter: Callable[..., Path], below: str) -> None:
    root = chapter(THREE)
    good, bad = split(open_corpus(str(root / below)))
    expected = ([] if below else ["7-9-0000"]) + ["84-121-0001", "84-121-0000"]
    assert [item.id for item in good] == expected
    assert {item.id: (item.speaker, item.reference) for item in good} == {
        id_: (id_.split("-")[0], THREE[id_]) for id_ in expected
    }
    assert bad == []


def test_librispeech_rejects_what_cannot_be_used(chapter: Callable[..., Path]) -> None:
    root = chapter(THREE)
    place = root / "84" / "121"
    soundfile.write(place / "84-121-0009.flac", tone(0.1), 16_000)
    with (place / "84-121.trans.txt").open("ab") as out:
        out.write(b"84-121-0002 NO AUDIO\n84-121-0000 AGAIN\n84-121-0001x\n\n84-121-0003 \xff\xfe\n")
    corpus = open_corpus(str(root))
    good, bad = split(corpus)
    assert len(good) == 3
    assert [(item.id, item.reason.split(",")[0]) for item in bad] == [
        ("84-121-0002", "missing file"),
        ("84-121-0000", "duplicate id"),
        ("84-121-0001x", "missing file"),
        ("line 7", "the transcript is not UTF-8"),
        ("84-121-0009", "text missing"),
    ]
    assert all(item.corpus == str(root) and item.where for item in bad)
    assert bad[0].where is not None
    assert bad[0].where.endswith("84-121.trans.txt:3")


def test_a_usable_utterance_is_not_lost_to_a_bad_one_of_its_id(chapter: Callable[..., Path]) -> None:
    root = chapter({"84-121-0000": "RIGHT"})
    (root / "84" / "122").mkdir()
    (root / "84" / "122" / "84-122.trans.txt").write_text("84-121-0000 NO AUDIO HERE\n", encoding="utf-8")
    with (root / "84" / "121" / "84-121.trans.txt").open("a") as out:
        out.write("84-121-0000 WRONG\n")
    good, bad = split(open_corpus(str(root)))
    assert [item.reference for item in good] == ["RIGHT"]
    reasons = [item.reason.partition(",")[0] for item in bad]
    assert reasons == ["duplicate id", "missing file"]
    assert "84-121.trans.txt:1" in bad[0].reason


def test_a_transcript_that_cannot_be_read_costs_its_chapter_alone(chapter: Callable[..., Path]) -> None:
    root = chapter(THREE)
    (root / "84" / "122").mkdir()
    (root / "84" / "122" / "84-122.trans.txt").symlink_to("nowhere")
    good, bad = split(open_corpus(str(root)))
    assert len(good) == 3
    assert [(item.id, item.reason) for item in bad] == [("84-122.trans.txt", "the link leads nowhere")]


def test_a_corpus_whose_name_is_not_unicode_is_refused(chapter: Callable[..., Path], tmp_path: Path) -> None:
    chapter(THREE).rename(tmp_path / os.fsdecode(b"\xff"))
    with pytest.raises(InputError, match="not UTF-8") as caught:
        open_corpus(str(tmp_path / os.fsdecode(b"\xff")))
    str(caught.value).encode()


def test_librispeech_audio_is_the_file_named(chapter: Callable[..., Path]) -> None:
    corpus = open_corpus(str(chapter(THREE)))
    lengths = {item.id: len(corpus.audio(item)) for item in split(corpus)[0]}
    assert lengths == {"84-121-0001": 8000, "84-121-0000": 9600, "7-9-0000": 11200}


# --- manifests ------------------------------------------------------------------------------------------------------
def manifest(folder: Path, *lines: object, name: str = "manifest.jsonl") -> Path:
    text = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / name).write_bytes(b"\n".join(text) + b"\n")
    return folder / name


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for name in ("a/one.wav", "a/two.wav", "b/two.wav", "three.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, tone(1.0, hz=100.0 * len(name)), 16_000)
    return tmp_path


def test_manifest_paths_ids_and_speakers(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(
        sounds,
        {"audio_filepath": "a/one.wav", "text": " One. ", "speaker": 17, "duration": 1},
        {"audio_filepath": "a/two.wav", "text": "two"},
        {"audio_filepath": "b/two.wav", "text": "other two"},
        {"audio_filepath": str(sounds / "three.flac"), "text": "three", "id": "drei", "extra": [1]},
    )
    monkeypatch.chdir("/")
    for spec in (path, sounds):
        corpus = open_corpus(str(spec))
        good, bad = split(corpus)
        assert bad == []
        assert corpus.name == str(spec)
        assert [(item.id, item.speaker, item.reference, item.duration_s) for item in good] == [
            ("one", "17", "One.", 1.0),
            ("a/two", "unknown", "two", None),
            ("b/two", "unknown", "other two", None),
            ("drei", "unknown", "three", None),
        ]
        assert [len(corpus.audio(item)) for item in good] == [16_000] * 4


def test_manifest_cuts_parts_out_of_one_file(sounds: Path) -> None:
    path = manifest(
        sounds,
        {"audio_filepath": "three.flac", "text": "a", "offset": 0.25, "duration": 0.5},
        {"audio_filepath": "three.flac", "text": "b", "offset": 0.75, "duration": 0.25},
        {"audio_filepath": "three.flac", "text": "c", "offset": 0.9, "duration": 0.25},
    )
    corpus = open_corpus(str(path))
    good, _ = split(corpus)
    assert [item.id for item in good] == ["three@0.25", "three@0.75", "three@0.9"]
    whole, _ = soundfile.read(sounds / "three.flac", dtype="float32")
    np.testing.assert_array_equal(corpus.audio(good[0]), whole[4000:12000])
    np.testing.assert_array_equal(corpus.audio(good[1]), whole[12000:])
    with pytest.raises(InputError, match="beyond the end"):
        corpus.audio(good[2])


BAD_LINES: dict[str, object] = {
    "broken JSON": b'{"audio_filepath": "a/one.wav", "text": "x"',
    "broken JSON: not an object": b'["a/one.wav"]',
    "not UTF-8": b'{"text": "\xff"}',
    "audio_filepath missing": {"text": "x"},
    "text missing": {"audio_filepath": "a/one.wav", "text": None},
    "missing file": {"audio_filepath": "a/none.wav", "text": "x"},
    "duration is not": {"audio_filepath": "a/one.wav", "text": "x", "duration": "long"},
    "offset is not": {"audio_filepath": "a/one.wav", "text": "x", "offset": -1},
    "a number has too many digits": b'{"audio_filepath": "a/one.wav", "text": "x", "offset": 1' + b"0" * 400 + b"}",
    "NaN is not a number in JSON": b'{"audio_filepath": "a/one.wav", "text": "x", "duration": NaN}',
    "too many digits": b'{"audio_filepath": "a/one.wav", "text": "x", "duration": ' + b"1" * 5000 + b"}",
    "id holds half a character": rb'{"audio_filepath": "a/one.wav", "text": "x", "id": "\ud800"}',
    "text holds half a character": rb'{"audio_filepath": "a/one.wav", "text": "x \udfff"}',
    "audio_filepath holds half a character": rb'{"audio_filepath": "\ud800.wav", "text": "x"}',
    "speaker holds half a character": rb'{"audio_filepath": "a/one.wav", "text": "x", "speaker": "\ud800"}',
    "offset holds half a character": rb'{"audio_filepath": "a/one.wav", "text": "x", "offset": "\ud800"}',
    "cannot be read (File name too long)": {"audio_filepath": "a" * 5000 + ".wav", "text": "x"},
    "not a file": {"audio_filepath": "a", "text": "x"},
    "sha256 is not": {"audio_filepath": "a/one.wav", "text": "x", "sha256": "abc"},
}


@pytest.mark.parametrize("reason", BAD_LINES)
def test_a_bad_line_is_rejected_and_the_others_stay(sounds: Path, reason: str) -> None:
    good_line = {"audio_filepath": "three.flac", "text": "three"}
    path = manifest(sounds, b"", BAD_LINES[reason], good_line)
    good, bad = split(open_corpus(str(path)))
    assert [item.id for item in good] == ["three"]
    assert len(bad) == 1
    assert reason in bad[0].reason
    assert bad[0].where == f"{path}:2"
    assert bad[0].id
    bad[0].id.encode()
    bad[0].reason.encode()


def test_no_text_at_all_and_null_text_are_missing(sounds: Path) -> None:
    path = manifest(sounds, {"audio_filepath": "a/one.wav"}, {"audio_filepath": "three.flac", "text": None})
    assert [(item.id, item.reason) for item in split(open_corpus(str(path)))[1]] == [
        ("one", "text missing"),
        ("three", "text missing"),
    ]


def test_of_two_equal_ids_the_first_is_used(sounds: Path) -> None:
    first = {"audio_filepath": "three.flac", "text": "right", "id": "x"}
    good, bad = split(open_corpus(str(manifest(sounds, first, {**first, "text": "wrong"}))))
    assert [item.reference for item in good] == ["right"]
    assert [(item.id, item.reason) for item in bad] == [("x", "duplicate id, first in line 1")]


@pytest.mark.parametrize("reason", ["text missing", "missing file", "offset is not", "sha256 is not"])
def test_a_usable_line_is_not_lost_to_a_bad_one_of_its_id(sounds: Path, reason: str) -> None:
    wrong = BAD_LINES[reason]
    bad_line = {**wrong, "id": "x"} if isinstance(wrong, dict) else {}
    good_line = {"audio_filepath": "three.flac", "text": "right", "id": "x"}
    good, bad = split(open_corpus(str(manifest(sounds, bad_line, good_line, good_line))))
    assert [item.reference for item in good] == ["right"]
    assert [item.reason.split(":")[0] for item in bad] == [bad[0].reason.split(":")[0], "duplicate id, first in line 2"]
    assert reason in bad[0].reason


def test_the_checksum_is_verified(sounds: Path) -> None:
    right = hashlib.sha256((sounds / "three.flac").read_bytes()).hexdigest()
    line = {"audio_filepath": "three.flac", "text": "x"}
    path = manifest(sounds, {**line, "id": "a", "sha256": right.upper()}, {**line, "id": "b", "sha256": "0" * 64})
    corpus = open_corpus(str(path))
    first, second = split(corpus)[0]
    assert len(corpus.audio(first)) == 16_000
    with pytest.raises(InputError, match="wrong checksum"):
        corpus.audio(second)


def test_an_utterance_of_another_corpus_is_not_found(sounds: Path) -> None:
    corpus = open_corpus(str(manifest(sounds, {"audio_filepath": "three.flac", "text": "x"})))
    with pytest.raises(InputError, match="no utterance 'stranger'"):
        corpus.audio(Utterance(id="stranger", speaker="", reference="", source="/etc/hostname"))


# --- what is none ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("spec", ["", "nowhere", "folder", "letter.txt", "empty.jsonl"])
def test_what_is_no_corpus_is_told_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "letter.txt").write_text("hello")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(InputError) as caught:
        open_corpus(spec)
    assert ("JSON object per line" if spec == "empty.jsonl" else "LibriSpeech's layout") in str(caught.value)
    assert "\n" not in str(caught.value)


# --- bundled --------------------------------------------------------------------------------------------------------
def test_the_bundled_speech_is_whole_and_small() -> None:
    corpus = open_corpus("bundled")
    good, bad = split(corpus)
    assert bad == []
    assert len(good) == 60
    assert {speaker: sum(item.speaker == speaker for item in good) for speaker in ("slt", "rms", "awb")} == {
        "slt": 20,
        "rms": 20,
        "awb": 20,
    }
    assert len({item.reference for item in good}) == 60
    lengths = [len(corpus.audio(item)) / 16_000 for item in good]
    assert lengths == pytest.approx([item.duration_s for item in good], abs=0.001)
    assert 180 < sum(lengths) < 240
    assert sum(Path(item.source).stat().st_size for item in good) < 4_000_000


# --- datasets -------------------------------------------------------------------------------------------------------
@pytest.fixture
def saved(sounds: Path) -> Path:
    """A dataset with two splits, written by the library itself."""
    datasets = pytest.importorskip("datasets", reason="the extra 'hub' is not installed")
    soundfile.write(sounds / "stereo.wav", np.stack([tone(1.0, 8000)] * 2, axis=1), 8_000)
    (sounds / "broken.wav").write_bytes(b"RIFF")
    files = ["three.flac", "stereo.wav", "a/one.wav", "broken.wav", "a/two.wav"]
    table = {
        "audio": [{"bytes": (sounds / file).read_bytes(), "path": file} for file in files],
        "text": ["three", "stereo", None, "broken", "copy"],
        "speaker_id": [5, 6, 6, 6, 6],
        "id": ["u3", "us", "ub", "ub", "u3"],
    }
    test = datasets.Dataset.from_dict(table).cast_column("audio", datasets.Audio(decode=False))
    train = test.select([0]).remove_columns(["id", "speaker_id"]).rename_column("text", "sentence")
    both = datasets.DatasetDict({"train": train, "test": test.cast_column("audio", datasets.Audio())})
    both.save_to_disk(str(sounds / "saved"))
    return sounds / "saved"


def test_a_saved_dataset(saved: Path) -> None:
    spec = f"hub:{saved}:test"
    corpus = open_corpus(spec)
    good, bad = split(corpus)
    assert [(item.id, item.speaker, item.reference) for item in good] == [
        ("u3", "5", "three"),
        ("us", "6", "stereo"),
        ("ub", "6", "broken"),
    ]
    assert [(item.id, item.reason, item.where) for item in bad] == [
        ("ub", "text missing", f"{spec} row 2"),
        ("u3", "duplicate id, first in row 0", f"{spec} row 4"),
    ]
    expected, _ = soundfile.read(saved.parent / "three.flac", dtype="float32")
    np.testing.assert_array_equal(corpus.audio(good[0]), expected)
    assert len(corpus.audio(good[1])) == 16_000
    with pytest.raises(InputError, match="not audio") as caught:
        corpus.audio(good[2])
    assert caught.value.where == f"{spec} row 3"


def test_a_split_saved_alone_needs_no_split_and_may_lack_ids(saved: Path) -> None:
    corpus = open_corpus(f"hub:{saved / 'train'}")
    assert [(item.id, item.speaker, item.reference) for item in split(corpus)[0]] == [("0", "unknown", "three")]
    assert len(corpus.audio(split(corpus)[0][0])) == 16_000


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        ("", "name a split; on offer: train, test"),
        (":dev", "no split 'dev'; on offer"),
        ("/train:test", "has no splits"),
    ],
)
def test_splits_on_offer_are_named(saved: Path, tail: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_corpus(f"hub:{saved}{tail}")


def test_a_dataset_without_speech_or_text_is_refused(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra 'hub' is not installed")
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "mute"))
    with pytest.raises(InputError, match="no audio column; it has text"):
        open_corpus(f"hub:{tmp_path / 'mute'}")


@pytest.mark.parametrize("spec", ["hub:", "hub:a:b:c:d", "hub:a::b", "hub:no-such/dataset-for-wattscribe"])
def test_a_dataset_that_cannot_be_loaded(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the extra 'hub' is not installed")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="hub:NAME:CONFIG:SPLIT") as caught:
        open_corpus(spec)
    assert "\n" not in str(caught.value)


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wattscribe\[hub\]'"):
        open_corpus("hub:any")


# --- real speech ----------------------------------------------------------------------------------------------------
def test_the_real_chapter(shared: Path) -> None:
    corpus = open_corpus(str(shared / "librispeech" / "dev-clean"))
    good, bad = split(corpus)
    assert bad == []
    assert len(good) == 70
    assert {item.speaker for item in good} == {"3752"}
    assert sum(len(item.reference.split()) for item in good) == 894
    assert sum(len(corpus.audio(item)) for item in good) / 16_000 == pytest.approx(328.3, abs=0.1)
    noisy = open_corpus(str(shared / "librispeech-noisy" / "dev-clean"))
    assert [(item.id, item.reference) for item in split(noisy)[0]] == [(item.id, item.reference) for item in good]
    assert sum(len(noisy.audio(a)) != len(corpus.audio(b)) for a, b in zip(split(noisy)[0], good, strict=True)) == 3


@pytest.mark.parametrize(("folder", "count", "speakers"), [("ljspeech", 98, 1), ("spoken-digits", 2000, 4)])
def test_real_manifests_at_other_rates(shared: Path, folder: str, count: int, speakers: int) -> None:
    corpus = open_corpus(str(shared / folder))
    good, bad = split(corpus)
    assert (len(good), len(bad), len({item.speaker for item in good})) == (count, 0, speakers)
    for item in good[:: count // 20]:
        assert len(corpus.audio(item)) / 16_000 == pytest.approx(item.duration_s, abs=0.001)


def test_files_that_differ_only_in_their_suffix_have_ids_of_their_own(tmp_path: Path) -> None:
    lines = [{"audio_filepath": name, "text": "x"} for name in ("a.wav", "a.ogg", "b/c.wav", "d/c.wav", "e.v2.wav")]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    ids = [item.id for item in open_corpus(str(tmp_path))]
    assert ids == ["a.wav", "a.ogg", "b/c", "d/c", "e.v2"]
