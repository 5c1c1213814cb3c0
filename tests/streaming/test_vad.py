"""The voice gate's times are those of the audio, to the sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.streaming import models
from wattscribe.errors import InputError
from wattscribe.records import Token, Transcript
from wattscribe.streaming import Transducer, open_transducer
from wattscribe.streaming.vad import GatedStream, GateRule, end_within


class Always:
    """A detector to which everything is speech."""

    def reset(self) -> None: ...

    def probability(self, window: np.ndarray) -> float:
        assert len(window) == 512
        return 1.0


@pytest.fixture(scope="module")
def transducer(tmp_path_factory: pytest.TempPathFactory) -> Transducer:
    return open_transducer(models.build(tmp_path_factory.mktemp("toy") / "model", seed=1))


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 40001])
def test_no_sample_is_counted_that_was_not_heard(transducer: Transducer, samples: int) -> None:
    gated = GatedStream(transducer, detector=Always())
    gated.accept(models.sound(3, samples))
    assert gated.heard_s == samples / 16000
    gated.finish()
    assert gated.heard_s == samples / 16000
    assert gated.samples == gated.passed_samples == samples
    assert gated.skipped_s == 0


def test_an_open_gate_changes_no_word_and_no_time(transducer: Transducer) -> None:
    audio = models.sound(3, 40001)
    gated, plain = GatedStream(transducer, detector=Always()), transducer.stream()
    gated.accept(audio)
    gated.finish()
    plain.accept(audio)
    expected = plain.finish()
    (ended,) = gated.ended
    assert (ended.transcript.text, ended.transcript.tokens) == (expected.text, expected.tokens)
    assert ended.end_s == end_within(len(audio) / 16000, expected, len(audio) / 16000)


def test_an_utterance_ends_where_its_audio_does(transducer: Transducer) -> None:
    """The tail of silence that is decoded with it is not its own, whether the gate or the audio closes it."""

    class Loudness:
        def reset(self) -> None: ...

        def probability(self, window: np.ndarray) -> float:
            return 1.0 if np.abs(window).max() > 0.05 else 0.0

    quiet = np.zeros(32000, np.float32)
    gated = GatedStream(transducer, GateRule(hang_over_s=0.1), detector=Loudness())
    gated.accept(np.concatenate([quiet, models.sound(3, 16000), quiet, models.sound(3, 16001)]))
    gated.finish()
    first, last = gated.ended
    for ended, heard_s in ((first, 3.0 + 0.1 + 2 * 512 / 16000), (last, 6 + 1 / 16000)):
        assert ended.end_s <= max(heard_s, ended.transcript.tokens[-1].start_s)
        assert ended.end_s >= ended.transcript.tokens[-1].start_s


def test_an_end_lies_in_the_audio_and_not_before_its_last_token() -> None:
    said = Transcript(text="A", tokens=(Token(text="A", start_s=2.0, log_probability=-0.1),))
    assert end_within(1.94, said, 1.94) == 2.0
    assert end_within(2.9, said, 2.5) == 2.5
    assert end_within(2.2, said, 2.5) == 2.2
    assert end_within(2.9, Transcript(text=""), 2.5) == 2.5


def test_a_finished_gate_hears_no_more(transducer: Transducer) -> None:
    gated = GatedStream(transducer, detector=Always())
    gated.accept(models.sound(3, 1000))
    gated.finish()
    with pytest.raises(InputError, match="the stream is finished"):
        gated.accept(models.sound(3, 1000))
