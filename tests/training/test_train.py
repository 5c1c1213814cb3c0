"""The loop: it learns, goes on exactly where it stood, survives a kill, and stops with a clear line when it must."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import SENTENCES
from tests.training.quick import QUICK, fresh
from wattscribe.errors import InputError, TrainingError
from wattscribe.training import checkpoint, train
from wattscribe.training.augment import NONE
from wattscribe.training.config import EncoderConfig, JoinerConfig, LayerConfig, PredictorConfig, TransducerConfig
from wattscribe.training.data import Source, SpeechData, mel_statistics
from wattscribe.training.model import build
from wattscribe.training.objective import Weights
from wattscribe.training.predictor import LstmPredictor
from wattscribe.training.schedule import DivergenceWatch, Schedule
from wattscribe.training.sound import SoundChanges
from wattscribe.training.tokens import train_bpe
from wattscribe.training.train import fit


def test_a_tiny_model_overfits_twenty_utterances(spoken: Any) -> None:
    """To 0 % WER, the whole lattice, some 20 s of one idle core."""
    vocabulary = train_bpe(SENTENCES, 100)
    data = SpeechData([Source(folder=str(spoken))], vocabulary)
    layer = LayerConfig(heads=4, head_width=16, feed_forward=128, conv_kernel=5, conv_width=64)
    config = TransducerConfig(
        vocabulary=len(vocabulary),
        encoder=EncoderConfig(width=64, time_stack=4, segment=8, left_context=16, layers=(layer,), dropout=0.0),
        predictor=PredictorConfig(embedding=64),
        joiner=JoinerConfig(width=64),
    )
    torch.manual_seed(0)
    model = build(config)
    model.encoder.set_statistics(*mel_statistics(data))
    settings = replace(
        QUICK, schedule=Schedule(steps=480, warmup_steps=15, peak_rate=6e-3), batch_s=60.0, average=0.9,
        augmentation=replace(NONE, silence_s=(0.0, 0.3)),
        phases=(Weights(transducer=0, ctc=1), Weights(from_share=0.08, ctc=0.3, band=0, one_per_frame=True)),
    )  # fmt: skip
    fitted = fit(model, vocabulary, data, settings, dev={"same": data})
    assert fitted.dev_wer["same"] == 0.0
    assert fitted.losses[-1] < 0.5 < 2 < fitted.losses[0]


@pytest.mark.parametrize(
    ("has", "wanted"), [({"avx512_bf16": True}, "bf16-mixed"), ({"avx2": True}, "32-true"), ({}, "32-true")]
)
def test_auto_is_bf16_where_the_processor_has_it(has: Any, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert train.launch(train.Settings(devices=1)).strategy.precision.precision == wanted


def test_an_lstm_predictor_is_not_run_in_bfloat16() -> None:
    """Some processors refuse it, with an error of oneDNN's."""
    predictor = LstmPredictor(10, PredictorConfig(kind="lstm", embedding=64, hidden=64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = predictor(torch.tensor([[3, 4]]))
        answer.sum().backward()
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, predictor(torch.tensor([[3, 4]])), atol=0, rtol=0)


class Stop:
    """Breaks the training off when its n-th line comes."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def __call__(self, _line: str) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [2, 6])
def test_resuming_gives_the_losses_of_an_unbroken_run(
    data: SpeechData, vocabulary: Any, tmp_path: Path, stop: Any
) -> None:
    """Dropout, changed sound, several epochs: all follow from seed and step."""
    settings = replace(QUICK, sound=SoundChanges(share=0.3), log_every=1, save_every_s=0.0)
    shape = {"encoder": {"dropout": 0.1}}
    whole = fit(fresh(vocabulary, **shape), vocabulary, data, settings)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(vocabulary, **shape), vocabulary, data, settings, out_dir=tmp_path, say=Stop(stop))
    said: list[str] = []
    resumed = fit(fresh(vocabulary, **shape), vocabulary, data, settings, out_dir=tmp_path, say=said.append)
    assert said[0] == f"resumed at step {stop - 1}"
    assert resumed.losses == whole.losses[stop - 1 :]
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor, rtol=0, atol=0)


CHILD = """
import sys, torch
from pathlib import Path
from tests.training.conftest import tiny_config
from tests.training.test_train import QUICK, fresh
from wattscribe.training.data import Source, SpeechData
from wattscribe.training.tokens import load_vocabulary
from wattscribe.training.schedule import Schedule
from wattscribe.training.train import fit
from dataclasses import replace
torch.set_num_threads(1)
spoken, out = map(Path, sys.argv[1:])
vocabulary = load_vocabulary(out)
data = SpeechData([Source(folder=str(spoken))], vocabulary)
settings = replace(QUICK, schedule=Schedule(steps=100000), save_every_s=0.0, log_every=1)
fit(fresh(vocabulary), vocabulary, data, settings, out_dir=out, say=lambda line: print(line, flush=True))
"""


def test_kill_9_leaves_a_whole_checkpoint(spoken: Any, data: SpeechData, vocabulary: Any, tmp_path: Path) -> None:
    """Killed while it saves after every step: what is there loads, and training goes on from it."""
    from wattscribe.training.tokens import save_vocabulary

    save_vocabulary(vocabulary, tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(spoken), str(tmp_path)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert child.stdout is not None
    steps = 0
    for line in child.stdout:
        steps += line.startswith("step")
        if steps == 12:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    state = checkpoint.load_state(tmp_path / "state.pt")
    reached = state["position"]["step"]
    assert reached >= 10
    said: list[str] = []
    settings = replace(QUICK, schedule=Schedule(steps=reached + 2))
    fitted = fit(fresh(vocabulary), vocabulary, data, settings, out_dir=tmp_path, say=said.append)
    assert said[0] == f"resumed at step {reached}"
    assert len(fitted.losses) == 2
    model, units = checkpoint.load_model(tmp_path / "model")
    assert units == vocabulary
    assert model.config == fitted.model.config


def test_a_diverging_loss_stops_with_step_and_checkpoint(
    data: SpeechData, vocabulary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(QUICK, save_every_s=0.0)
    real = train._Run._losses

    def poisoned(self: Any, batch: Any, weights: Any) -> Any:
        if self.position.step == 5:
            batch = batch._replace(mels=batch.mels * float("nan"))
        return real(self, batch, weights)

    monkeypatch.setattr(train._Run, "_losses", poisoned)
    with pytest.raises(TrainingError, match=r"diverged at step 5 \(nan\); last good checkpoint: .*state\.pt"):
        fit(fresh(vocabulary), vocabulary, data, settings, out_dir=tmp_path)
    # What step 5 began with was not shown to be good: the state is of the step before.
    assert checkpoint.load_state(tmp_path / "state.pt")["position"]["step"] == 4
    assert all(torch.isfinite(t).all() for t in checkpoint.load_state(tmp_path / "state.pt")["model"].values())


def test_a_climbing_loss_is_divergence_but_a_new_phase_is_not() -> None:
    watch, one, two = DivergenceWatch(window=5), Weights(), Weights(from_share=0.5)
    assert not any(watch.diverged(3.0, one) for _ in range(10))
    assert not any(watch.diverged(30.0, two) for _ in range(10))
    assert any(watch.diverged(90.0, two) for _ in range(10))
    assert watch.diverged(float("inf"), two)


def test_an_early_or_short_climb_is_divergence_but_unlike_batches_are_not() -> None:
    watch = DivergenceWatch()
    assert [watch.diverged(loss, Weights()) for loss in (5.2, 35.0, 187.0)] == [False, False, True]
    watch = DivergenceWatch()
    assert not any(watch.diverged(loss, Weights()) for loss in (5.0, 5.1) * 3)
    assert any(watch.diverged(5.0 + step, Weights()) for step in range(45))  # slowly, within the first fifty
    watch = DivergenceWatch()
    falling = [(20 * 0.97**step + 0.5) * (0.6 if step % 2 else 1.4) for step in range(200)]
    assert not any(watch.diverged(loss, Weights()) or watch.rising for loss in falling)


@pytest.mark.parametrize(("rate", "steps"), [(1e30, 12), (100.0, 160), (1e30, 1)])
def test_a_run_that_diverges_early_leaves_no_model_and_no_state(
    data: SpeechData, vocabulary: Any, tmp_path: Path, rate: Any, steps: Any
) -> None:
    settings = replace(QUICK, schedule=Schedule(steps=steps, warmup_steps=1, peak_rate=rate), save_every_s=0.0)
    with pytest.raises(TrainingError, match=r"diverged at step \d+ .*last good checkpoint: none"):
        fit(fresh(vocabulary), vocabulary, data, settings, out_dir=tmp_path)
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "state.pt").exists()


def test_a_run_that_diverges_later_leaves_the_last_good_state(
    data: SpeechData, vocabulary: Any, tmp_path: Path
) -> None:
    """Saved after every step, it can be resumed at a lower rate."""
    fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    wild = replace(QUICK, schedule=Schedule(steps=40, warmup_steps=1, peak_rate=1e30), save_every_s=0.0)
    with pytest.raises(TrainingError, match=r"last good checkpoint: .*state\.pt"):
        fit(fresh(vocabulary), vocabulary, data, wild, out_dir=tmp_path)
    assert checkpoint.load_state(tmp_path / "state.pt")["position"]["step"] == 8
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    resumed = fit(fresh(vocabulary), vocabulary, data, replace(QUICK, schedule=Schedule(steps=10)), out_dir=tmp_path)
    assert np.isfinite(resumed.losses).all()


def test_a_rising_loss_is_not_kept(
    data: SpeechData, vocabulary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DivergenceWatch, "rising", property(lambda watch: len(watch.losses) > 3))
    with pytest.raises(KeyboardInterrupt):
        fit(
            fresh(vocabulary),
            vocabulary,
            data,
            replace(QUICK, save_every_s=0.0, log_every=1),
            out_dir=tmp_path,
            say=Stop(6),
        )
    assert checkpoint.load_state(tmp_path / "state.pt")["position"]["step"] == 2


def test_weights_that_are_not_finite_are_not_kept(
    data: SpeechData, vocabulary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no loss of now shows them: here the joiner, while only CTC is trained."""
    model = fresh(vocabulary)
    settings = replace(QUICK, phases=(Weights(transducer=0, ctc=1),))
    with torch.no_grad():
        model.joiner.out.weight[0, 0] = torch.nan
    with pytest.raises(TrainingError, match="no longer finite at step 8; nothing was written"):
        fit(model, vocabulary, data, settings, out_dir=tmp_path)
    assert not (tmp_path / "state.pt").exists()


def test_begun_anew_nothing_of_before_is_left(data: SpeechData, vocabulary: Any, tmp_path: Path) -> None:
    fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path)
    wild = replace(QUICK, schedule=Schedule(steps=40, warmup_steps=1, peak_rate=1e30))
    with pytest.raises(TrainingError, match="last good checkpoint: none"):
        fit(fresh(vocabulary), vocabulary, data, wild, out_dir=tmp_path, resume=False)


def test_a_full_disk_is_said_and_the_old_checkpoint_stays(
    data: SpeechData, vocabulary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path)
    before = (tmp_path / "state.pt").read_bytes()

    def full(_descriptor: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"state\.pt: the disk is full"):
        fit(fresh(vocabulary), vocabulary, data, replace(QUICK, schedule=Schedule(steps=9)), out_dir=tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_a_checkpoint_of_another_shape_names_the_weight(data: SpeechData, vocabulary: Any, tmp_path: Path) -> None:
    fit(fresh(vocabulary), vocabulary, data, replace(QUICK, schedule=Schedule(steps=1)), out_dir=tmp_path)
    wider = fresh(vocabulary, joiner=JoinerConfig(width=20))
    with pytest.raises(InputError, match=r"another shape: joiner\.from_encoder\.bias is \(12,\), the model's \(20,\)"):
        fit(wider, vocabulary, data, QUICK, out_dir=tmp_path)
    state = tmp_path / "model" / "model.json"
    state.write_text(state.read_text().replace('"width": 16', '"width": 24'))
    with pytest.raises(InputError, match="another shape"):
        checkpoint.load_model(tmp_path / "model")


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    import pickle

    with pytest.raises(InputError, match=r"no model\.safetensors"):
        checkpoint.load_model(tmp_path)
    (tmp_path / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load_state(tmp_path / "state.pt")
    (tmp_path / "state.pt").write_bytes(pickle.dumps(Path("/tmp")))
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load_state(tmp_path / "state.pt")
    contents: tuple[Any, ...] = (torch.zeros(3), {"model": {}}, [1, 2])
    for content in contents:
        torch.save(content, tmp_path / "state.pt")
        with pytest.raises(InputError, match=r"state\.pt: this is not a training state"):
            checkpoint.load_state(tmp_path / "state.pt")


def test_a_state_of_a_diverged_or_other_run_is_refused(data: SpeechData, vocabulary: Any, tmp_path: Path) -> None:
    fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path)
    state = checkpoint.load_state(tmp_path / "state.pt")
    torch.save({**state, "position": {"where": 3}}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="belongs to another training, or is damaged"):
        fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path)
    state["model"]["joiner.out.weight"][0, 0] = torch.inf
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(InputError, match="belongs to a diverged run"):
        fit(fresh(vocabulary), vocabulary, data, QUICK, out_dir=tmp_path)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'harm'}",)

    torch.save({"model": Evil()}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="cannot be read: it holds more than tensors") as caught:
        checkpoint.load_state(tmp_path / "state.pt")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "harm").exists()
