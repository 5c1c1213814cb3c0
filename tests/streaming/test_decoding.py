"""The runtime against plain loops over the same networks, against itself in other orders, and against sherpa-onnx."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.known import known
from tests.streaming import models
from wattscribe.records import Counts, Transcript
from wattscribe.streaming import Endpointing, Transducer, open_transducer
from wattscribe.streaming.endpoint import EndpointRule
from wattscribe.streaming.features import FrameSource

SEEDS = st.integers(0, 40)


@cache
def folder(layout: str, seed: int, predictor: str = "stateless", quantised: bool = False) -> Path:
    return models.build(
        Path(mkdtemp()) / "model",
        layout=layout,
        seed=seed,
        predictor=predictor,
        quantised=quantised,
        blank_bias=seed % 4,
    )


@cache
def opened(layout: str, seed: int, predictor: str = "stateless", quantised: bool = False, **options: Any) -> Transducer:
    return open_transducer(folder(layout, seed, predictor, quantised), **options)


def plain_greedy(where: Path, audio: np.ndarray, tail_s: float = 0.8) -> list[int]:
    """The textbook loop, with nothing of the package but its features: one frame, one joiner call."""
    nets = {
        name: onnxruntime.InferenceSession(str(where / f"{name}.onnx")) for name in ("encoder", "decoder", "joiner")
    }
    source = FrameSource(models.MELS)
    source.accept(np.concatenate([audio, np.zeros(round(tail_s * 16000), np.float32)]))
    source.finish()
    frames = np.zeros((source.ready, models.MELS), np.float32)
    source.take(len(frames), frames)
    states = {state.name: np.zeros(state.shape, np.float32) for state in models.STATES["lstm"]}
    tokens: list[int] = [-1, 0]
    start = 0
    while start + models.SEGMENT < len(frames):
        out, h, c = nets["encoder"].run(None, {"x": frames[None, start : start + models.SEGMENT], **states})
        states = {"h": h, "c": c}
        for frame in out[0]:
            (vector,) = nets["decoder"].run(None, {"y": np.array([tokens[-2:]], np.int64)})
            (scores,) = nets["joiner"].run(None, {"encoder_out": frame[None], "decoder_out": vector})
            best = int(scores[0].argmax())
            if best > 1:  # neither blank nor <unk>
                tokens.append(best)
        start += models.SHIFT
    return tokens[2:]


@pytest.mark.parametrize("seed", range(6))
def test_the_text_is_that_of_the_textbook_loop(seed: int) -> None:
    audio = models.sound(seed, 16000)
    transducer = opened("lstm", seed)
    expected = plain_greedy(folder("lstm", seed), audio)
    stream = transducer.stream()
    stream.accept(audio)
    stream.finish()
    assert list(stream.decoder_state.best().tokens[2:]) == expected
    assert transducer.transcribe([audio])[0].text == transducer.vocabulary.text(expected)
    if seed % 4 < 3:
        assert expected, "a model that never emits proves nothing"


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, sound=SEEDS, quantised=st.booleans(), predictor=st.sampled_from(["stateless", "lstm"]),
       method=st.sampled_from(["greedy", "beam"]))  # fmt: skip
def test_asking_the_joiner_ahead_changes_nothing(
    seed: int, sound: int, quantised: bool, predictor: str, method: str
) -> None:
    audio = models.sound(sound, 12000)
    ahead, plain = (
        opened("zipformer2", seed, predictor, quantised, decoding=method, frame_by_frame=by_frame).transcribe([audio])[
            0
        ]
        for by_frame in (False, True)
    )
    assert ahead.text == plain.text
    assert [t.start_s for t in ahead.tokens] == [t.start_s for t in plain.tokens]
    a, b = ahead.counts, plain.counts
    assert a is not None
    assert b is not None
    assert (a.frames, a.blanks, a.tokens, a.encoder_calls, a.predictor_calls) == (
        b.frames, b.blanks, b.tokens, b.encoder_calls, b.predictor_calls,
    )  # fmt: skip
    assert a.joiner_calls <= b.joiner_calls
    if method == "greedy":
        assert b.joiner_calls == b.joiner_rows == b.frames
        # Two segments of a file may share a call, so there may be fewer calls than segments.
        assert -(-a.encoder_calls // 2) <= a.joiner_calls <= a.encoder_calls + a.tokens
        assert a.predictor_calls == a.tokens + 1
    assert a.frames == a.blanks + a.tokens == a.encoder_calls * models.FRAMES


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, layout=st.sampled_from(models.LAYOUTS), cuts=st.lists(st.integers(0, 12000), max_size=6),
       method=st.sampled_from(["greedy", "beam"]), saved_at=st.integers(0, 6))  # fmt: skip
def test_any_split_of_the_audio_and_a_restored_stream_give_the_same(
    seed: int, layout: str, cuts: list[int], method: str, saved_at: int
) -> None:
    audio = models.sound(seed + 100, 12000)
    transducer = opened(layout, seed, decoding=method)
    whole = transducer.transcribe([audio])[0]
    stream = transducer.stream()
    for index, piece in enumerate(np.split(audio, sorted(cuts))):
        if index == saved_at:
            saved = stream.save()
            stream.accept(models.sound(1, 5000))  # what the first stream does afterwards is nothing to the restored one
            stream = transducer.stream(saved)
        stream.accept(piece)
    final = stream.finish()
    assert alike(final, whole)
    assert stream.finish() == final, "finishing twice changes nothing"
    unbroken = transducer.stream()
    unbroken.accept(audio)
    assert unbroken.finish() == final, "bit for bit"


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, layout=st.sampled_from(models.LAYOUTS), predictor=st.sampled_from(["stateless", "lstm"]),
       method=st.sampled_from(["greedy", "beam"]), lengths=st.lists(st.integers(0, 14000), min_size=2, max_size=4))  # fmt: skip
def test_streams_side_by_side_are_what_each_is_alone(
    seed: int, layout: str, predictor: str, method: str, lengths: list[int]
) -> None:
    audio = [models.sound(seed + i, length) for i, length in enumerate(lengths)]
    alone = [opened(layout, seed, predictor, decoding=method).transcribe([each])[0] for each in audio]
    shared = opened(layout, seed, predictor, decoding=method, batch_size=3)
    assert shared.batch_size == 3
    together = shared.transcribe(audio)
    for one, other in zip(alone, together, strict=True):
        assert one.text == other.text
        assert [t.start_s for t in one.tokens] == [t.start_s for t in other.tokens]
    one_sum, sum_of = (_total(transcripts) for transcripts in (alone, together))
    assert sum_of.encoder_rows == one_sum.encoder_rows == one_sum.encoder_calls
    assert sum_of.encoder_calls <= one_sum.encoder_calls
    assert sum_of.joiner_calls <= one_sum.joiner_calls
    assert (sum_of.frames, sum_of.tokens) == (one_sum.frames, one_sum.tokens)


def alike(one: Transcript, other: Transcript) -> bool:
    """Same text, times and invocations. A file's segments are decoded in twos: fewer joiner calls."""
    assert one.counts is not None
    assert other.counts is not None
    free = {"joiner_calls": 0, "joiner_rows": 0}
    return (
        one.text == other.text
        and [token.start_s for token in one.tokens] == [token.start_s for token in other.tokens]
        and np.allclose(
            [known(t.log_probability) for t in one.tokens], [known(t.log_probability) for t in other.tokens], atol=1e-4
        )
        and replace(one.counts, **free) == replace(other.counts, **free)
        and other.counts.joiner_calls <= one.counts.joiner_calls
    )


def _total(transcripts: Any) -> Counts:
    total = Counts()
    for each in transcripts:
        total += each.counts
    return total


@pytest.mark.parametrize("method", ["greedy", "beam"])
@pytest.mark.parametrize("seed", range(8))
def test_sherpa_onnx_reads_the_same_text_from_the_same_directory(method: str, seed: int) -> None:
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    where = folder("lstm", seed)
    theirs = sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(where / "tokens.txt"), encoder=str(where / "encoder.onnx"), decoder=str(where / "decoder.onnx"),
        joiner=str(where / "joiner.onnx"), num_threads=1, feature_dim=models.MELS,
        decoding_method="greedy_search" if method == "greedy" else "modified_beam_search", blank_penalty=0.3,
    )  # fmt: skip
    ours = opened("lstm", seed, decoding=method, blank_penalty=0.3)
    for sound in range(3):
        audio = models.sound(sound, 20000)
        stream = theirs.create_stream()
        stream.accept_waveform(16000, audio)
        stream.accept_waveform(16000, np.zeros(12800, np.float32))
        stream.input_finished()
        while theirs.is_ready(stream):
            theirs.decode_stream(stream)
        result = theirs.get_result_all(stream)
        found = ours.transcribe([audio])[0]
        assert found.text == result.text.strip()
        frame_ids = np.round(np.array(result.timestamps) / 0.04)  # sherpa-onnx assumes four feature frames per output
        assert np.allclose(frame_ids * 0.02, [t.start_s for t in found.tokens])


def test_padded_frames_are_those_after_the_last_sample() -> None:
    transducer = opened("lstm", 1)
    audio = models.sound(3, 16000)
    found, untailed = (open_transducer(folder("lstm", 1), tail_s=s).transcribe([audio])[0].counts for s in (0.8, 0.0))
    assert found is not None
    assert untailed is not None
    assert untailed.padded_frames == 0
    heard = found.frames * transducer.frame_s
    assert found.padded_frames == pytest.approx((heard - 1.0) / transducer.frame_s, abs=1)


def test_an_endpoint_closes_the_utterance_and_keeps_the_times() -> None:
    rules = Endpointing(rules=(EndpointRule(must_contain_speech=False, trailing_silence_s=0, utterance_s=0.4),))
    transducer = open_transducer(folder("lstm", 1), endpointing=rules)
    audio = models.sound(3, 32000)
    stream = transducer.stream()
    stream.accept(audio)
    last = stream.finish()
    whole = opened("lstm", 1).transcribe([audio])[0]
    assert len(stream.ended) >= 4
    tokens = [token for each in stream.ended for token in each.transcript.tokens] + list(last.tokens)
    assert [t.start_s for t in tokens] == [t.start_s for t in whole.tokens]
    assert [t.text for t in tokens] == [t.text for t in whole.tokens], "greedy goes on with the same context"
    for each in stream.ended:
        assert all(each.start_s <= token.start_s < each.end_s for token in each.transcript.tokens)


def test_phrases_win_where_beam_search_favours_them() -> None:
    from wattscribe.streaming import Decoding

    audio = models.sound(5, 24000)
    plain = opened("lstm", 2, decoding="beam")
    stream = plain.stream()
    stream.accept(audio)
    stream.finish()
    tokens = stream.decoder_state.best().tokens[2:]
    missing = next(token for token in range(2, models.VOCAB) if token not in tokens)
    favoured = open_transducer(
        folder("lstm", 2), decoding=Decoding(method="beam", phrases=((missing,),), phrase_score=20.0)
    ).stream()
    favoured.accept(audio)
    favoured.finish()
    assert missing in favoured.decoder_state.best().tokens[2:]
