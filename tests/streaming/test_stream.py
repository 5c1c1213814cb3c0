"""Streams as values and as neighbours: saved, restored, released, side by side in threads; and options that mean nothing."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streaming import models
from tests.streaming.test_ahead import layered
from tests.streaming.test_decoding import folder, opened
from wattscribe.errors import InputError
from wattscribe.streaming import Decoding, Endpointing, Stream, Transducer, ahead, open_transducer
from wattscribe.streaming.context import ContextGraph
from wattscribe.streaming.endpoint import EndpointRule
from wattscribe.streaming.features import FrameSource
from wattscribe.streaming.transducer import whole

AUDIO = models.sound(5, 24000)


def favouring(*phrases: tuple[int, ...], score: float = 6.0) -> Decoding:
    return Decoding(method="beam", phrases=phrases, phrase_score=score)


def restored(stream: Stream, transducer: Transducer) -> Stream:
    """As another process would have it."""
    return transducer.stream(pickle.loads(pickle.dumps(stream.save())))  # noqa: S301 (our own)


# --- a stream as a value --------------------------------------------------------------------------------------------
def test_a_stream_in_the_middle_of_a_phrase_goes_on_in_another_transducer() -> None:
    ours, other = (open_transducer(folder("lstm", 2), decoding=favouring((5, 6, 7, 8) * 10, (6, 9))) for _ in range(2))
    unbroken = ours.stream()
    unbroken.accept(AUDIO)
    expected = unbroken.finish()
    inside = 0
    for at in range(1600, len(AUDIO), 1600):
        stream = ours.stream()
        stream.accept(AUDIO[:at])
        inside += any(each.bias for each in stream.decoder_state.hypotheses)
        again = restored(stream, other)
        again.accept(AUDIO[at:])
        assert again.finish() == expected
    assert inside > 3, "phrases that are never begun prove nothing"


@pytest.mark.parametrize("phrases", [(), ((3, 4),), ((3, 4, 5), (4, 6))])
def test_other_phrases_than_those_of_the_saved_stream_are_refused(phrases: tuple[tuple[int, ...], ...]) -> None:
    saved = open_transducer(folder("lstm", 2), decoding=favouring((3, 4, 5))).stream().save()
    with pytest.raises(InputError, match=r"saved with phrases \(3, 4, 5\) at 6.0, but this transducer has"):
        open_transducer(folder("lstm", 2), decoding=favouring(*phrases)).stream(saved)


def test_another_decoding_than_that_of_the_saved_stream_is_refused() -> None:
    greedy, beam = opened("lstm", 1), opened("lstm", 1, decoding="beam")
    stream = beam.stream()
    stream.accept(AUDIO)
    with pytest.raises(InputError, match="saved from decoding beam, but this transducer decodes greedy"):
        greedy.stream(stream.save())
    with pytest.raises(InputError, match="saved from decoding greedy, but this transducer decodes beam"):
        beam.stream(greedy.stream().save())


def test_a_buffer_that_the_caller_fills_again_changes_nothing() -> None:
    transducer = opened("lstm", 1)
    stream, buffer, saved = transducer.stream(), np.zeros(1000, np.float32), None
    for start in range(0, 24000, 1000):
        buffer[:] = AUDIO[start : start + 1000]
        stream.accept(buffer)
        buffer[:] = 0.5
        if start == 11000:
            saved = stream.save()
    again = transducer.stream(saved)
    again.accept(AUDIO[12000:])
    assert again.finish() == stream.finish()


def test_a_restored_stream_still_has_the_utterances_that_were_closed() -> None:
    rules = Endpointing(rules=(EndpointRule(must_contain_speech=False, trailing_silence_s=0, utterance_s=0.4),))
    transducer = open_transducer(folder("lstm", 1), endpointing=rules)
    stream = transducer.stream()
    stream.accept(AUDIO)
    again = restored(stream, transducer)
    assert len(again.ended) >= 3
    stream.finish(), again.finish()
    assert again.ended == stream.ended
    assert whole(again) == whole(stream)


@pytest.mark.parametrize("closed", [False, True])
def test_audio_that_is_heard_and_not_decoded_is_saved_too(closed: bool) -> None:
    transducer = opened("lstm", 1)
    stream = transducer.stream()
    stream.buffer(AUDIO)
    if closed:
        stream.close()
    again = restored(restored(stream, transducer), transducer)
    assert again.finish() == stream.finish()
    assert again.heard_s == stream.heard_s == 1.5
    assert stream.text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 12), st.booleans()), max_size=8), st.booleans())
def test_a_restored_source_gives_the_same_frames(steps: list[tuple[int, int, bool]], saved_at_the_end: bool) -> None:
    """Samples heard, frames taken, saved or not; over and over."""
    plain, source, taken = FrameSource(models.MELS), FrameSource(models.MELS), []

    def take(count: int) -> None:
        rows = np.zeros((count, models.MELS), np.float32)
        source.take(count, rows)
        taken.append(rows)

    total = sum(heard for heard, _, _ in steps)
    audio = models.sound(3, total)
    for heard, wanted, saved in steps:
        source.accept(audio[source.samples : source.samples + heard])
        take(min(wanted, source.ready))
        source = FrameSource.restore(source.save()) if saved else source
        assert len(source.save().audio) <= 800
    plain.accept(audio)
    plain.finish()
    source.finish()
    if saved_at_the_end:
        source = FrameSource.restore(source.save())
        source.finish()
    take(source.ready)
    expected = np.zeros((plain.ready, models.MELS), np.float32)
    plain.take(len(expected), expected)
    assert source.samples == total
    assert np.array_equal(np.concatenate(taken), expected)


# --- a stream's place in the encoder --------------------------------------------------------------------------------
def test_a_stream_released_twice_lends_its_place_once() -> None:
    transducer = open_transducer(folder("lstm", 1))
    stream = transducer.stream()
    stream.accept(AUDIO)
    heard = stream.finish()
    stream.release()
    stream.release()
    assert stream.partial() == heard, "reading is allowed"
    first, second = transducer.stream(), transducer.stream()
    for start in range(0, len(AUDIO), 1600):
        first.accept(AUDIO[start : start + 1600])
        second.accept(-AUDIO[::-1][start : start + 1600])
    assert first.finish() == heard


def test_a_released_stream_says_so() -> None:
    transducer = open_transducer(folder("lstm", 1))
    stream, waiting = transducer.stream(), transducer.stream()
    stream.accept(AUDIO)
    waiting.buffer(AUDIO)
    stream.release()
    waiting.release()
    for call in (lambda: stream.accept(AUDIO), lambda: stream.buffer(AUDIO), stream.finish, stream.close, stream.save,
                 lambda: transducer.advance([waiting])):  # fmt: skip
        with pytest.raises(InputError, match="the stream is released"):
            call()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_stream_that_is_given_twice_is_decoded_once(batch_size: int) -> None:
    transducer = open_transducer(folder("lstm", 1), batch_size=batch_size)
    stream = transducer.stream()
    stream.buffer(AUDIO)
    transducer.advance([stream, stream])
    assert stream.finish().tokens == transducer.transcribe([AUDIO])[0].tokens


# --- threads --------------------------------------------------------------------------------------------------------
def test_threads_that_encode_ahead_do_not_hear_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PAYS_AFTER", 0)
    directory = models.build(tmp_path / "model", layout="zipformer2", blank_bias=0.8)
    layered(directory / "encoder.onnx", seed=4, stacked=False)
    transducer = open_transducer(directory)
    audio = [models.sound(seed, 40000) for seed in (1, 2)]
    expected = [transducer.transcribe([each])[0] for each in audio]
    assert transducer.lookahead.refused is None
    run, both = ahead.Ahead.run, threading.Barrier(2, timeout=20)

    def after_both_have_filled(*arguments: Any) -> Any:
        both.wait()
        return run(*arguments)

    monkeypatch.setattr(ahead.Ahead, "run", after_both_have_filled)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda each: transducer.transcribe([each])[0], audio))
    assert found == expected


def test_while_one_thread_rewrites_the_encoder_another_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    transducer = open_transducer(folder("lstm", 2))
    begun, done, makers = threading.Event(), threading.Event(), []

    def make(*_: object) -> ahead.Ahead:
        makers.append(threading.current_thread())
        begun.set()
        done.wait(5)
        return ahead.Ahead(transducer.encoder, transducer.encoder.net)

    monkeypatch.setattr(ahead, "make", make)
    monkeypatch.setattr(ahead, "_kept", lambda *_: None)
    maker = threading.Thread(target=transducer.lookahead.get, args=(1000,))
    maker.start()
    assert begun.wait(5)
    meanwhile = transducer.lookahead.get(1000)
    done.set()
    maker.join()
    assert meanwhile is None
    assert transducer.lookahead.get(1) is not None
    assert makers == [maker]


# --- endpoints ------------------------------------------------------------------------------------------------------
def test_silence_is_counted_in_seconds_whatever_a_frame_is(tmp_path: Path) -> None:
    """Frames of the toy model are 20 ms."""
    directory = models.build(tmp_path / "model", blank_bias=1000.0)

    def ended(must_contain_speech: bool) -> list[float]:
        rule = EndpointRule(must_contain_speech=must_contain_speech, trailing_silence_s=0.4, utterance_s=0.0)
        stream = open_transducer(directory, endpointing=Endpointing(rules=(rule,))).stream()
        stream.accept(AUDIO)
        return [each.end_s for each in stream.ended]

    assert ended(must_contain_speech=False) == pytest.approx([0.4, 0.8, 1.2])
    assert ended(must_contain_speech=True) == []


# --- options --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("option", ["batch_size", "threads"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "2"])
def test_counts_below_one_are_refused(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{option} is {value!r}. It must be a whole number, 1 to "):
        open_transducer(folder("lstm", 1), **{option: value})


@pytest.mark.parametrize(
    "phrases", ["GOD", b"GOD", 3, (b"GOD",), ((),), ((3,), ("▁a",)), (3, 4), ((3.0,),), ("",), ("GOD :x",)]
)
def test_what_is_no_phrase_is_refused(phrases: Any) -> None:
    with pytest.raises(InputError, match=r"phrases is|is neither text nor token numbers|is not a phrase"):
        Decoding(method="beam", phrases=phrases)


@pytest.mark.parametrize("token", [-1, 0, 1, models.VOCAB])
def test_phrases_of_tokens_that_are_never_emitted_are_refused(token: int) -> None:
    with pytest.raises(InputError, match=rf"tokens.txt: phrase \(3, {token}\) holds {token}, which is never emitted"):
        open_transducer(folder("lstm", 1), decoding=favouring((3, token)))


def test_phrases_may_come_as_lists_of_any_whole_numbers() -> None:
    phrases: Any = [np.array([3, 4]), [5]]
    assert Decoding(method="beam", phrases=phrases).phrases == ((3, 4), (5,))


@pytest.mark.parametrize(
    ("tokens", "bonuses"),
    [
        ((1, 2, 3), [1, 1, 1]),
        ((1, 2, 9), [1, 1, -2]),  # what was begun in vain is given back
        ((1, 2, 1, 2, 3), [1, 1, -1, 1, 1]),  # 1 2 is given back, 1 counts anew
        ((1, 2, 4, 5), [1, 1, 0, 1]),  # the end of one beginning is another beginning
        ((2, 4, 5, 2), [1, 1, 1, 1]),  # a finished phrase is kept, and the match starts again
    ],
)
def test_bonuses_of_phrases(tokens: tuple[int, ...], bonuses: list[float]) -> None:
    graph, state, found = ContextGraph([(1, 2, 3), (2, 4, 5)], score=1.0), 0, []
    for token in tokens:
        bonus, state = graph.forward(state, token)
        found.append(bonus)
    assert found == bonuses
