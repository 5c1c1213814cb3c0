"""Lists as other tools write them: Kaldi, Common Voice, FLEURS, lhotse, STM; one bad entry costs itself alone in each."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpora.conftest import tone
from tests.corpora.test_open import split
from wattscribe.corpora import open_corpus
from wattscribe.errors import InputError
from wattscribe.records import Utterance


def call(path: Path, seconds: float = 4.0) -> Path:
    """Two channels of different pitch, each growing louder, so that channel and place are told from the samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0.1, 1.0, round(seconds * 16_000))
    soundfile.write(path, np.stack([ramp * tone(seconds, hz=200), ramp * tone(seconds, hz=500)], axis=1), 16_000)
    return path


def heard(spec: Path) -> dict[str, np.ndarray]:
    corpus = open_corpus(str(spec))
    return {item.id: corpus.audio(item) for item in corpus if isinstance(item, Utterance)}


def part(path: Path, begin_s: float, end_s: float, channel: int) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(samples[round(begin_s * 16_000) : round(end_s * 16_000), channel])


def rejected(spec: Path) -> list[tuple[str, str, str | None]]:
    return [(item.id, item.reason, item.where) for item in split(open_corpus(str(spec)))[1]]


# --- Kaldi ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    """data/test of a recipe, whose paths count from the recipe's own folder, as Kaldi's do."""
    for index, name in enumerate(("a", "b")):
        (tmp_path / "audio").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "audio" / f"{name}.wav", tone(2.0 + index), 16_000)
    folder = tmp_path / "data" / "test"
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("rec-a audio/a.wav\nrec-b  audio/b.wav\n")
    (folder / "text").write_text("spk-1 HELLO  THERE\nspk-2 AGAIN\nspk-3\n")
    (folder / "segments").write_text("spk-1 rec-a 0.5 1.25\nspk-2 rec-b 1.5 3.3\nspk-3 rec-b 0 -1\n")
    (folder / "utt2spk").write_text("spk-1 anna\nspk-2 bert\nspk-3 bert\n")
    return folder


def test_a_kaldi_folder_with_segments(kaldi: Path) -> None:
    good, bad = split(open_corpus(str(kaldi)))
    assert bad == []
    assert [(item.id, item.speaker, item.reference) for item in good] == [
        ("spk-1", "anna", "HELLO  THERE"),
        ("spk-2", "bert", "AGAIN"),
        ("spk-3", "bert", ""),
    ]
    lengths = {id_: len(samples) for id_, samples in heard(kaldi).items()}
    assert lengths == {
        "spk-1": 12_000,
        "spk-2": 24_000,
        "spk-3": 48_000,
    }  # 0.3 s too long, as Kaldi allows; -1: to the end


def test_without_segments_the_utterances_are_the_recordings(kaldi: Path) -> None:
    (kaldi / "segments").unlink()
    (kaldi / "text").write_text("rec-a HELLO\n")
    assert {id_: len(samples) for id_, samples in heard(kaldi).items()} == {"rec-a": 32_000}
    assert rejected(kaldi) == [("rec-b", "text missing", f"{kaldi}/wav.scp:2")]


def test_a_channel_of_a_kaldi_segment(kaldi: Path) -> None:
    both = call(kaldi / "call.wav")
    (kaldi / "wav.scp").write_text(f"rec {both}\n")
    (kaldi / "text").write_text("one X\ntwo Y\n")
    (kaldi / "segments").write_text("one rec 1 2 0\ntwo rec 1 2 1\n")
    samples = heard(kaldi)
    np.testing.assert_array_equal(samples["one"], part(both, 1, 2, 0))
    np.testing.assert_array_equal(samples["two"], part(both, 1, 2, 1))


@pytest.mark.parametrize(
    ("file", "line", "id_", "reason"),
    [
        ("wav.scp", "rec-a sph2pipe -f wav -p -c 1 a.sph |", "spk-1", "a command at {}/wav.scp:1, which is not run"),
        ("wav.scp", "rec-a dump/wav.ark:35", "spk-1", "a place inside an archive at {}/wav.scp:1"),
        ("wav.scp", "rec-a audio/none.wav", "spk-1", "missing file"),
        ("wav.scp", "rec-x audio/a.wav", "spk-1", "recording 'rec-a' is not in wav.scp"),
        ("segments", "spk-1 rec-a x 1", "spk-1", "not `utterance recording begin end` at {}/segments:1"),
        ("segments", "spk-1 rec-a 1 0.5", "spk-1", "ends at 0.5 s, before it begins"),
        ("segments", "spk-9 rec-a 0 1", "spk-1", "not in segments"),
    ],
)
def test_what_is_wrong_in_a_kaldi_folder_costs_its_utterance(
    kaldi: Path, file: str, line: str, id_: str, reason: str
) -> None:
    lines = (kaldi / file).read_text().splitlines()
    (kaldi / file).write_text("\n".join([line, *lines[1:]]) + "\n")
    good, bad = split(open_corpus(str(kaldi)))
    assert [item.id for item in good] == ["spk-2", "spk-3"]
    assert bad[0].id == id_
    assert reason.format(kaldi) in bad[0].reason
    assert bad[0].where == f"{kaldi}/text:1"


@pytest.mark.parametrize("file", ["text", "segments", "wav.scp", "utt2spk"])
@pytest.mark.parametrize("blank", ["\u00a0", "\u3000 ", "\x1c", "\x85"])
def test_a_line_of_any_white_space_is_blank(kaldi: Path, file: str, blank: str) -> None:
    before = split(open_corpus(str(kaldi)))
    (kaldi / file).write_text((kaldi / file).read_text() + blank + "\n")
    assert split(open_corpus(str(kaldi))) == before


def test_a_kaldi_folder_without_text_is_told(kaldi: Path) -> None:
    (kaldi / "text").unlink()
    with pytest.raises(InputError, match="without the file 'text'"):
        list(open_corpus(str(kaldi)))


# --- Common Voice and FLEURS ----------------------------------------------------------------------------------------
COMMON_VOICE = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\tlocale\tsegment"
)


@pytest.fixture
def common_voice(tmp_path: Path) -> Path:
    folder = tmp_path / "cv-corpus" / "en"
    (folder / "clips").mkdir(parents=True)
    for name in ("common_voice_en_1.mp3", "common_voice_en_2.mp3"):
        soundfile.write(folder / "clips" / name, tone(1.0), 48_000)
    rows = [
        COMMON_VOICE,
        'c0ffee\tcommon_voice_en_1.mp3\ts1\t"She said ""no"" twice."\t\t2\t0\t\t\ten\t',
        "c0ffee\tcommon_voice_en_2.mp3\ts2\tA second sentence.\t\t2\t0\t\t\ten\t",
        "beef\tcommon_voice_en_9.mp3\ts3\tIts clip is missing.\t\t2\t0\t\t\ten\t",
        "beef\tcommon_voice_en_2.mp3\ts4\tListed twice.\t\t2\t0\t\t\ten\t",
    ]
    (folder / "test.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "clip_durations.tsv").write_text("clip\tduration[ms]\ncommon_voice_en_1.mp3\t1000\n")
    return folder


@pytest.mark.parametrize("below", ["", "test.tsv"])
def test_common_voice(common_voice: Path, below: str) -> None:
    spec = common_voice / below
    good, _ = split(open_corpus(str(spec)))
    assert [(item.id, item.speaker, item.reference) for item in good] == [
        ("common_voice_en_1", "c0ffee", 'She said "no" twice.'),
        ("common_voice_en_2", "c0ffee", "A second sentence."),
    ]
    test = common_voice / "test.tsv"
    assert rejected(spec) == [
        ("common_voice_en_9", f"missing file: {common_voice}/clips/common_voice_en_9.mp3", f"{test}:4"),
        ("common_voice_en_2", "duplicate id, first in line 3", f"{test}:5"),
    ]
    assert all(len(samples) > 5000 for samples in heard(spec).values())


def test_of_several_lists_one_must_be_named(common_voice: Path) -> None:
    (common_voice / "dev.tsv").write_text(COMMON_VOICE + "\n")
    with pytest.raises(InputError, match=r"holds 2 lists: dev.tsv, test.tsv. Name one of them"):
        open_corpus(str(common_voice))


def test_fleurs(tmp_path: Path) -> None:
    """The sentence's id is not the utterance's: two people read it."""
    for name in ("1001.wav", "1002.wav"):
        (tmp_path / "audio" / "test").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "audio" / "test" / name, tone(1.0), 16_000)
    row = "1904\t{}.wav\tA tornado, spinning.\ta tornado spinning\ta | t o r n a d o\t16000\t{}\n"
    (tmp_path / "test.tsv").write_text(row.format(1001, "MALE") + row.format(1002, "FEMALE") + "7\tonly two\n")
    good, bad = split(open_corpus(str(tmp_path / "test.tsv")))
    assert [(item.id, item.reference, item.duration_s) for item in good] == [
        ("1001", "a tornado spinning", 1.0),
        ("1002", "a tornado spinning", 1.0),
    ]
    assert [(item.id, item.reason) for item in bad] == [("line 3", "not the seven columns of FLEURS, but 2")]
    assert {len(samples) for samples in heard(tmp_path / "test.tsv").values()} == {16_000}


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match="neither Common Voice's columns"):
        list(open_corpus(str(tmp_path / "x.tsv")))


# --- lhotse ---------------------------------------------------------------------------------------------------------
def recording(path: Path, **more: object) -> dict[str, object]:
    source = {"type": "file", "channels": [0, 1], "source": str(path)}
    return {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 64000, "duration": 4.0, **more}


def supervision(id_: str, start: float, duration: float, **more: object) -> dict[str, object]:
    return {
        "id": id_, "recording_id": "r", "start": start, "duration": duration, "channel": 0, "text": f"text of {id_}",
        "language": "English", "speaker": "anna", **more,
    }  # fmt: skip


def write(path: Path, *values: object) -> Path:
    data = "".join(json.dumps(value) + "\n" for value in values).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts_test.jsonl.gz"])
def test_lhotse_cuts(tmp_path: Path, name: str) -> None:
    both = call(tmp_path / "call.flac")
    one = supervision("s1", 0.25, 0.5)
    cut = {"id": "c1", "start": 1.0, "duration": 1.5, "channel": 1, "recording": recording(both), "type": "MonoCut"}
    path = write(
        tmp_path / name,
        {**cut, "supervisions": [one]},
        {**cut, "id": "c2", "supervisions": [one, supervision("s2", 0.75, 0.5, channel=1, speaker=None)]},
        {**cut, "id": "c3", "supervisions": []},
        {"id": "c4", "type": "MixedCut", "tracks": []},
        {**cut, "id": "c5", "supervisions": [one], "recording": recording(both, transforms=[{"name": "Speed"}])},
    )
    for spec in (path, tmp_path):
        good, _ = split(open_corpus(str(spec)))
        assert [(item.id, item.speaker, item.reference) for item in good] == [
            ("c1", "anna", "text of s1"),
            ("s1", "anna", "text of s1"),
            ("s2", "unknown", "text of s2"),
        ]
        samples = heard(spec)
        np.testing.assert_array_equal(samples["c1"], part(both, 1, 2.5, 1))
        np.testing.assert_array_equal(samples["s1"], part(both, 1.25, 1.75, 0))
        np.testing.assert_array_equal(samples["s2"], part(both, 1.75, 2.25, 1))
        assert [(id_, reason.split(":")[0].split(" is ")[0], where) for id_, reason, where in rejected(spec)] == [
            ("c3", "text missing", f"{path}:3"),
            ("c4", "a MixedCut", f"{path}:4"),
            ("c5", "its recording", f"{path}:5"),
        ]


def test_lhotse_supervisions_with_their_recordings(tmp_path: Path) -> None:
    both = call(tmp_path / "wav" / "call.wav")
    command = {**recording(both), "id": "q", "sources": [{"type": "command", "channels": [0], "source": "sox x |"}]}
    write(tmp_path / "x_recordings_test.jsonl.gz", recording(Path("wav/call.wav")), command)
    path = write(
        tmp_path / "x_supervisions_test.jsonl.gz",
        supervision("s1", 0.5, 1.0),
        supervision("s2", 0.5, 1.0, recording_id="none"),
        supervision("s3", 0.5, 1.0, recording_id="q"),
    )
    for spec in (path, tmp_path):
        samples = heard(spec)
        assert list(samples) == ["s1"]
        np.testing.assert_array_equal(samples["s1"], part(both, 0.5, 1.5, 0))
        assert [(id_, reason.split(":")[0]) for id_, reason, _ in rejected(spec)] == [
            ("s2", "its recording is missing"),
            ("s3", "its audio is of type 'command', not a file"),
        ]
    with pytest.raises(InputError, match="recordings alone have no text"):
        list(open_corpus(str(tmp_path / "x_recordings_test.jsonl.gz")))


def test_lhotse_as_one_array(tmp_path: Path) -> None:
    both = call(tmp_path / "call.wav")
    cut = {"id": "c1", "start": 1.0, "duration": 0.5, "channel": 0, "recording": recording(both), "type": "Cut"}
    cuts = [{**cut, "supervisions": [supervision("s1", 0.0, 0.5)]}, {**cut, "id": "c2", "supervisions": []}]
    (tmp_path / "cuts.json").write_text(json.dumps(cuts, indent=2))
    np.testing.assert_array_equal(heard(tmp_path)["c1"], part(both, 1.0, 1.5, 0))
    assert rejected(tmp_path) == [("c2", "text missing", f"{tmp_path}/cuts.json:2")]


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "cuts.jsonl.gz", supervision("s1", 0.5, 1.0))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="the file is damaged"):
        open_corpus(str(path))


# --- STM ------------------------------------------------------------------------------------------------------------
def test_stm_with_sphere_beside_its_folder(tmp_path: Path) -> None:
    """TED-LIUM's layout."""
    both = call(tmp_path / "sph" / "sw_4390.sph.wav")
    both.rename(tmp_path / "sph" / "sw_4390.wav")
    (tmp_path / "stm").mkdir()
    path = tmp_path / "stm" / "sw_4390.stm"
    path.write_text(
        ";; CATEGORY \"0\" \"\" \"\"\n"
        "sw_4390 A sw_4390_A 0.50 1.50 <O,en,F,en-F> hello { uh / @ } there\n"
        "sw_4390 2 sw_4390_B 1.00 2.00 no label\n"
        "sw_4390 A inter_segment_gap 2.00 3.00 <o,,unknown> ignore_time_segment_in_scoring\n"
        "sw_4390 A sw_4390_A 3.00 2.00 <O> backwards\n"
        "other A x 0.00 1.00 <O> gone\n"
    )  # fmt: skip
    for spec in (path, tmp_path):
        good, bad = split(open_corpus(str(spec)))
        assert [(item.speaker, item.reference) for item in good] == [
            ("sw_4390_A", "hello uh there"),
            ("sw_4390_B", "no label"),
        ]
        samples = list(heard(spec).values())
        np.testing.assert_array_equal(samples[0], part(tmp_path / "sph" / "sw_4390.wav", 0.5, 1.5, 0))
        np.testing.assert_array_equal(samples[1], part(tmp_path / "sph" / "sw_4390.wav", 1.0, 2.0, 1))
        assert [(item.where, item.reason.split(":")[0]) for item in bad] == [
            (f"{path}:4", "marked to be ignored in scoring"),
            (f"{path}:5", "the segment from 3 s to 2 s has no length"),
            (f"{path}:6", "missing file"),
        ]


# --- what all share -------------------------------------------------------------------------------------------------
def test_channels_of_a_manifest(tmp_path: Path) -> None:
    both = call(tmp_path / "call.wav")
    lines = [{"audio_filepath": "call.wav", "text": "x", "channel": channel} for channel in (0, 1, [0, 1], 2, "A")]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = open_corpus(str(tmp_path))
    good, bad = split(corpus)
    assert [item.id for item in good] == ["call#0", "call#1", "call", "call#2"]
    assert [item.reason for item in bad] == ["channel is not a number of 0 or more, or a list of them"]
    np.testing.assert_array_equal(corpus.audio(good[0]), part(both, 0, 4, 0))
    np.testing.assert_array_equal(corpus.audio(good[1]), part(both, 0, 4, 1))
    mean = (part(both, 0, 4, 0).astype(np.float64) + part(both, 0, 4, 1)) / 2
    np.testing.assert_allclose(corpus.audio(good[2]), mean, atol=1e-7)
    with pytest.raises(InputError, match=r"has 2 channels, counted from 0: there is no channel \[2\]"):
        corpus.audio(good[3])


def test_an_empty_text_is_a_reference_without_words(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hush.wav", 0.001 * tone(1.0), 16_000)
    (tmp_path / "manifest.jsonl").write_text('{"audio_filepath": "hush.wav", "text": ""}\n')
    assert [(item.id, item.reference) for item in split(open_corpus(str(tmp_path)))[0]] == [("hush", "")]


def test_a_mark_of_byte_order_and_tabs_in_a_transcript(chapter: Callable[..., Path]) -> None:
    root = chapter({"84-121-0000": "x", "84-121-0001": "y"})
    transcript = root / "84" / "121" / "84-121.trans.txt"
    transcript.write_bytes(b"\xef\xbb\xbf84-121-0000\tFIRST ONE\r\n84-121-0001  \t SECOND\r\n")
    good, bad = split(open_corpus(str(root)))
    assert bad == []
    assert [(item.id, item.reference) for item in good] == [("84-121-0000", "FIRST ONE"), ("84-121-0001", "SECOND")]


def test_linked_speakers_are_heard_and_lost_links_told(chapter: Callable[..., Path], tmp_path: Path) -> None:
    far = chapter({"7-9-0000": "FAR AWAY"}, folder="other-disk")
    root = chapter({"84-121-0000": "HERE"})
    (root / "7").symlink_to(far / "7")
    (root / "84" / "loop").symlink_to(root)
    (root / "61").symlink_to(tmp_path / "unplugged")
    good, bad = split(open_corpus(str(root)))
    assert [item.id for item in good] == ["7-9-0000", "84-121-0000"]
    assert [(item.id, item.reason) for item in bad] == [("61", "the link leads nowhere")]
