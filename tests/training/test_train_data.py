"""What training is fed: batches, schedule, teacher and log."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import SENTENCES
from tests.training.quick import QUICK, fresh
from wattscribe.errors import InputError, TrainingError
from wattscribe.training.augment import NONE
from wattscribe.training.data import Source, SpeechData, mel_statistics
from wattscribe.training.decode import dev_wer
from wattscribe.training.objective import TeacherHead, Weights
from wattscribe.training.schedule import Schedule, weights_at
from wattscribe.training.train import fit


def test_batches_follow_from_seed_epoch_and_number(data: SpeechData) -> None:
    one, two = data.plan(1, 3, 12.0), data.plan(1, 3, 12.0)
    assert one == two != data.plan(1, 4, 12.0)
    assert sorted(i for batch in one for i in batch) == list(range(len(data.entries)))
    for batch in one:
        lengths = [data.entries[i].frames / 100 for i in batch]
        assert len(batch) == 1 or max(lengths) * len(batch) <= 12.0


def test_broken_shards_and_texts_are_named(spoken: Any, vocabulary: Any, tmp_path: Path) -> None:
    from wattscribe.training.tokens import characters

    with pytest.raises(InputError, match="holds no shards"):
        SpeechData([Source(folder=str(tmp_path))], vocabulary)
    with pytest.raises(InputError, match="outside the vocabulary"):
        SpeechData([Source(folder=str(spoken))], characters(["abc"]))
    with pytest.raises(InputError, match="no utterance is left"):
        SpeechData([Source(folder=str(spoken))], vocabulary, held_out=frozenset(SENTENCES))
    for file in spoken.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    mels = np.load(tmp_path / "shard-00000.mels.npy")
    mels[:] = np.nan
    np.save(tmp_path / "shard-00000.mels.npy", mels)
    broken = SpeechData([Source(folder=str(tmp_path))], vocabulary)
    with pytest.raises(TrainingError, match=r"shard-00000.*broken"):
        fit(fresh(vocabulary), vocabulary, broken, QUICK)


def test_sentences_spoken_on_the_fly_are_trained_on(data: SpeechData, vocabulary: Any) -> None:
    only = len(data.entries)
    data.add_unspoken(["a dog sat on the mat", "", "we like rain"])
    assert [entry.text for entry in data.entries[only:]] == ["a dog sat on the mat", "we like rain"]
    settings = replace(QUICK, schedule=Schedule(steps=3))
    losses = fit(fresh(vocabulary), vocabulary, data, settings).losses
    assert len(losses) == 3
    assert np.isfinite(losses).all()


# --- schedule and teacher ---------------------------------------------------------------------------------------------
def test_the_rate_warms_up_and_falls() -> None:
    schedule = Schedule(peak_rate=1.0, warmup_steps=10, steps=100, anneal_from=0.5, final_share=0.1)
    rates = [schedule.rate(step, 0.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:51] == pytest.approx([1.0] * 42)
    assert rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[50:]))
    by_clock = Schedule(minutes=10)
    assert by_clock.share(10**6, 300.0) == 0.5
    with pytest.raises(InputError, match="either steps or minutes"):
        Schedule(steps=3, minutes=3)


def test_phases_follow_each_other() -> None:
    phases = (Weights(transducer=0), Weights(from_share=0.5), Weights(from_share=0.9, band=0))
    assert [weights_at(phases, share) for share in (0, 0.49, 0.5, 0.89, 1)] == [
        *phases[:1] * 2,
        *phases[1:2] * 2,
        phases[2],
    ]


def test_a_teacher_is_come_close_to(spoken: Any, vocabulary: Any, tmp_path: Path) -> None:
    """Distillation alone, from a made-up teacher that is a smooth function of the features."""
    for file in spoken.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (shard,) = __import__("wattscribe.training.speech_cache", fromlist=["shards"]).shards(tmp_path)
    mixing = np.random.default_rng(0).standard_normal((80, 6)).astype(np.float32) / 80
    outputs = [shard.features(item)[::4].astype(np.float32) @ mixing for item in shard.utterances]
    np.save(tmp_path / "shard-00000.teacher.npy", np.concatenate(outputs).astype(np.float16))
    data = SpeechData([Source(folder=str(tmp_path))], vocabulary)
    model = fresh(vocabulary)
    model.encoder.set_statistics(*mel_statistics(data))
    head = TeacherHead(16, 4, teacher_width=6)
    every = np.concatenate(outputs)
    head.mean.copy_(torch.from_numpy(every.mean(0)))
    head.scale.copy_(torch.from_numpy(1 / every.std(0)))
    settings = replace(QUICK, schedule=Schedule(steps=150, warmup_steps=5, peak_rate=1e-2), augmentation=NONE,
                       phases=(Weights(transducer=0, ctc=0, teacher=1),))  # fmt: skip
    losses = fit(model, vocabulary, data, settings, head=head).losses
    assert losses[0] > 0.8
    assert np.mean(losses[-5:]) < 0.35


def test_the_zipformer_teaches(shared: Path) -> None:
    from wattscribe.training.sound import read_sound
    from wattscribe.training.teacher import Teacher

    chapter = shared / "librispeech/dev-clean/3752/4944"
    teacher = Teacher(shared / "models/zipformer-gigaspeech-3.3m")
    text = next(chapter.glob("*.trans.txt")).read_text().splitlines()[2].split(" ", 1)
    samples = read_sound(chapter / f"{text[0]}.flac")
    taught = teacher.teach(samples)
    assert taught.encoder_out.shape[1] == 320
    assert abs(len(taught.encoder_out) - len(samples) / 640) < 2
    said, wanted = set(taught.text.split()), set(text[1].lower().split())
    assert len(said & wanted) > 0.6 * len(wanted)


def test_a_folder_that_is_no_teacher_is_named(tmp_path: Path) -> None:
    from wattscribe.errors import ModelError
    from wattscribe.training.teacher import Teacher

    with pytest.raises(ModelError, match=r"no encoder\.onnx"):
        Teacher(tmp_path)


def test_dev_wer_counts_words(data: SpeechData, vocabulary: Any) -> None:
    """An untrained model is wrong nearly everywhere; one that is right is 0."""
    assert dev_wer(fresh(vocabulary), vocabulary, data) >= 0.9


def test_the_log_says_losses_and_throughput(data: SpeechData, vocabulary: Any, tmp_path: Path) -> None:
    said: list[str] = []
    fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path, dev={"same": data}, say=said.append)
    assert "s/s" in said[0]
    assert "ctc" in said[0]
    notes = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert any("dev_wer" in note for note in notes)
    assert notes[0]["position"]["step"] == 4
