"""`onnx:` on an encoder–decoder: the tokens of Transformers, alone and together, counted, and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.known import known
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers import Audio, open_recognizer, parse_model
from wattscribe.records import Counts, Transcript
from wattscribe.seq2seq.files import find
from wattscribe.seq2seq.opening import open_model

RATE, WINDOW_S = 16000, 6


def heard(folder: Path, clips: list[Audio], *, batch_size: int = 1, **options: str) -> list[Transcript]:
    recognizer = open_recognizer(parse_model(f"onnx:{folder}", options=options, batch_size=batch_size))
    found = recognizer.transcribe(clips)
    recognizer.close()
    return found


def texts(folder: Path, clips: list[Audio], *, batch_size: int = 1, **options: str) -> list[str]:
    return [each.text for each in heard(folder, clips, batch_size=batch_size, **options)]


def counted(folder: Path, clips: list[Audio], *, batch_size: int = 1, **options: str) -> list[Counts]:
    return [known(each.counts) for each in heard(folder, clips, batch_size=batch_size, **options)]


def of_transformers(folder: Path, clips: list[Audio], **options: str) -> list[str]:
    recognizer = open_recognizer(parse_model(f"hf:{folder}", options=options))
    return [each.text for each in recognizer.transcribe(clips)]


def test_the_text_is_transformers_own(english: Path, exported: Path, clips: list[Audio]) -> None:
    assert texts(exported, clips) == of_transformers(english, clips)


def test_language_is_detected_told_and_refused(
    multilingual: Path, exported_multilingual: Path, clips: list[Audio]
) -> None:
    found = heard(exported_multilingual, clips)
    theirs = open_recognizer(parse_model(f"hf:{multilingual}")).transcribe(clips)
    assert [(each.language, each.text) for each in found] == [(each.language, each.text) for each in theirs]
    told = heard(exported_multilingual, clips, language="de")
    assert {each.language for each in told} == {"de"}
    assert [each.text for each in told] == of_transformers(multilingual, clips, language="de")
    with pytest.raises(InputError, match="language=xx"):
        heard(exported_multilingual, clips, language="xx")


def test_an_english_model_has_no_choice(exported: Path, clips: list[Audio]) -> None:
    assert heard(exported, clips[:1])[0].language is None
    with pytest.raises(InputError, match="no choice of languages"):
        heard(exported, clips, language="de")


def test_several_together_say_what_each_says_alone(
    exported: Path, exported_multilingual: Path, clips: list[Audio]
) -> None:
    for folder in (exported, exported_multilingual):
        assert texts(folder, [*clips, clips[0]], batch_size=3) == texts(folder, [*clips, clips[0]])


@pytest.fixture(scope="module")
def sworn(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with tokens that it never says, and others that it does not say first."""
    import json
    import shutil

    source = shutil.copytree(english, tmp_path_factory.mktemp("sworn") / "source")
    path = source / "generation_config.json"
    never = {"suppress_tokens": list(range(60, 90)), "begin_suppress_tokens": list(range(120))}
    path.write_text(json.dumps({**json.loads(path.read_text()), **never}))
    return source


@pytest.fixture(scope="module")
def sworn_export(sworn: Path) -> Path:
    from wattscribe.seq2seq.export import export_whisper

    export_whisper(str(sworn), sworn.parent / "out")
    return sworn.parent / "out"


def test_what_is_never_said_is_as_the_checkpoint_says(
    english: Path, sworn: Path, sworn_export: Path, clips: list[Audio]
) -> None:
    """With suppressed tokens the text is another, and Transformers' with the same."""
    own = texts(sworn_export, clips)
    assert own == of_transformers(sworn, clips)
    assert own != of_transformers(english, clips)


def test_sherpa_onnx_never_says_it_either(
    english: Path, sworn: Path, sworn_export: Path, clips: list[Audio], tmp_path: Path
) -> None:
    """It knows no such list: the decoder's graph does. And it fills a window with zeros, which are heard as silence."""
    from wattscribe.seq2seq.two_step import two_step

    onnx = pytest.importorskip("onnx")
    few = tmp_path / "two-step"
    few.mkdir()
    for name in ("encoder.onnx", "tokens.txt"):
        (few / name).write_bytes((sworn_export / name).read_bytes())
    onnx.save(two_step(onnx.load(sworn_export / "decoder.onnx"), candidates=64), few / "decoder.onnx")
    for folder in (sworn_export, few):
        for clip, answer in zip(clips, texts(folder, clips), strict=True):
            said = of_sherpa(
                folder, clip
            )  # six tokens a second at most, where ours go on; without bytes that are no text
            assert said
            assert answer.replace("\ufffd", "").startswith(said)


def of_sherpa(folder: Path, clip: Audio) -> str:
    """Of audio 5 ms late, since its frames are half a frame later than a Whisper's."""
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    audio = np.concatenate([np.zeros(80, np.float32), clip, np.zeros(480, np.float32)])
    recognizer = sherpa_onnx.OfflineRecognizer.from_whisper(
        encoder=str(folder / "encoder.onnx"), decoder=str(folder / "decoder.onnx"), tokens=str(folder / "tokens.txt"),
        tail_paddings=100 * WINDOW_S - len(audio) // 160 - 1,  # the window of this checkpoint
    )  # fmt: skip
    stream = recognizer.create_stream()
    stream.accept_waveform(RATE, audio)
    recognizer.decode_stream(stream)
    return str(stream.result.text).strip()


@pytest.mark.parametrize("kind", ["english", "sworn"])
def test_beam_search_is_transformers_own(kind: str, clips: list[Audio], request: pytest.FixtureRequest) -> None:
    """Tokens that are never said have their part of the probabilities, in Transformers as here."""
    import torch
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    source = request.getfixturevalue(kind)
    folder = request.getfixturevalue({"english": "exported", "sworn": "sworn_export"}[kind])
    model = WhisperForConditionalGeneration.from_pretrained(source).eval()
    features = WhisperFeatureExtractor.from_pretrained(source)(clips, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        rows = model.generate(features.input_features, num_beams=3, do_sample=False)
    tokenizer = AutoTokenizer.from_pretrained(source)
    theirs = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows.tolist()]
    assert texts(folder, clips, decoding="beam", beam="3") == theirs


def test_a_beam_of_one_is_greedy(exported: Path, clips: list[Audio]) -> None:
    assert texts(exported, clips, decoding="beam", beam="1") == texts(exported, clips)


def test_everything_is_counted(exported: Path, exported_multilingual: Path, clips: list[Audio]) -> None:
    """One window, one step for each token; the prompt's tokens are rows of the first step."""
    (one,) = heard(exported, clips[:1], max_new_tokens="5")
    frames = 50 * WINDOW_S
    vocabulary = int(open_model(find(exported))._net.vocabulary)
    assert one.counts == Counts(
        encoder_calls=1, encoder_rows=1, predictor_calls=5, predictor_rows=2 + 4, frames=frames, tokens=5,
        padded_frames=200, vocabulary_rows=6 * vocabulary,
    )  # fmt: skip
    (detected,) = counted(exported_multilingual, clips[:1], max_new_tokens="5")
    assert (detected.predictor_calls, detected.predictor_rows) == (1 + 5, 1 + 4 + 4)
    together = counted(exported, clips[:2], max_new_tokens="5", batch_size=2)
    assert [each.encoder_calls for each in together] == [1, 0]
    assert [each.predictor_rows for each in together] == [6, 6]
    assert sum(each.predictor_calls for each in together) == 5


def test_long_audio_goes_window_by_window(exported: Path, clips: list[Audio]) -> None:
    """Cut where it is quietest: here in a pause that the window's last quarter holds."""
    first, second = np.tile(clips[0], 3)[: round(5.2 * RATE)], clips[1]
    joined = np.concatenate([first, np.zeros(RATE // 5, np.float32), second])
    (found,) = heard(exported, [joined])
    assert known(found.counts).encoder_calls == 2
    cut = len(first) + RATE // 20
    parts = texts(exported, [joined[:cut], joined[cut:]])
    assert found.text == " ".join(filter(None, parts))


def test_a_short_window_reads_fewer_frames(exported: Path, clips: list[Audio], tmp_path: Path) -> None:
    """1.3 s and 5 s of silence, up to the next 5 s: 10 s of the 30 that this one hears. Where it hears 6 s: all of them."""
    from tests.recognizers.checkpoints import whisper
    from wattscribe.seq2seq.export import export_whisper

    source = tmp_path / "source"
    source.mkdir()
    whisper(source, layers=1, hears_s=30)
    export_whisper(str(source), tmp_path / "out")
    counts = [counted(tmp_path / "out", [clips[1]], window=window)[0] for window in ("whole", "short")]
    assert [each.frames for each in counts] == [1500, 500]
    assert [each.padded_frames for each in counts] == [1500 - 65, 500 - 65]
    assert heard(exported, [clips[1]], window="short") == heard(exported, [clips[1]])


def test_what_hears_nothing_and_what_does_not_fit(exported: Path, clips: list[Audio]) -> None:
    assert texts(exported, [clips[0][:300]]) == [""]
    for option in ("tail_s", "phrase"):
        with pytest.raises(InputError, match=f"option {option} is for transducers"):
            heard(exported, clips, **{option: "1"}, batch_size=1)
    for option in ("window", "draft"):
        with pytest.raises(InputError, match=f"option {option} is for encoder–decoders"):
            open_recognizer(parse_model("reference", options={option: "short"}))
    with pytest.raises(InputError, match="window"):
        heard(exported, clips, window="tiny")


def test_the_decoder_that_is_opened_reads_its_weights_from_the_file(
    exported: Path, clips: list[Audio], tmp_path: Path
) -> None:
    """The same text as from the untouched graph, with keys turned once and one buffer for each cache."""
    import onnx

    from wattscribe.seq2seq.turned import open_decoder

    opened = open_decoder(exported / "decoder.onnx", threads=1, heads=2)
    assert opened.turned
    assert opened.in_place
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in exported.iterdir():
        (plain / path.name).write_bytes(path.read_bytes())
    model = onnx.load(plain / "decoder.onnx")
    for node in model.graph.node:  # named otherwise, as another's export names them
        for names in (node.input, node.output):
            names[:] = [name.replace("cross.", "other.") for name in names]
    onnx.save(model, plain / "decoder.onnx")
    assert not open_decoder(plain / "decoder.onnx", threads=1, heads=2).turned
    assert texts(plain, clips) == texts(exported, clips)
    assert texts(plain, clips, batch_size=3) == texts(exported, clips)


def test_it_runs_without_torch(exported: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "for name in ('torch', 'transformers', 'onnx', 'sherpa_onnx', 'tokenizers'): sys.modules[name] = None\n"
        "from wattscribe.recognizers import open_recognizer, parse_model\n"
        f"recognizer = open_recognizer(parse_model('onnx:{exported}'))\n"
        "audio = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)\n"
        "print(len(recognizer.transcribe([audio])[0].text))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_audit_tells_what_the_files_hold(exported: Path) -> None:
    for precision, dtype in (("fp32", "float32"), ("int8", "int8")):
        recognizer = open_recognizer(parse_model(f"onnx:{exported}", precision=precision))
        audit = recognizer.audit()
        assert audit.ok, audit.reason
        assert max(audit.weight_bytes, key=audit.weight_bytes.__getitem__) == dtype
    half = open_recognizer(parse_model(f"onnx:{exported}", precision="fp16")).audit()
    assert half.weight_bytes["float16"] > 10 * half.weight_bytes["float32"]


def test_a_directory_without_caches_is_refused(exported: Path, clips: list[Audio], tmp_path: Path) -> None:
    import onnx

    for path in exported.glob("*.*"):
        if ".int8" not in path.name and ".fp16" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    model = onnx.load(tmp_path / "decoder.onnx")
    del model.graph.output[1:]
    onnx.save(model, tmp_path / "decoder.onnx")
    with pytest.raises(ModelError, match="keeps no caches"):
        heard(tmp_path, clips)


def test_damaged_weights_are_no_answer(exported: Path, clips: list[Audio], tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    for path in exported.glob("*.*"):
        if ".int8" not in path.name and ".fp16" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    model = onnx.load(tmp_path / "decoder.onnx")
    for each in model.graph.initializer:
        if each.name == "decoder.layer_norm.weight":
            each.CopyFrom(numpy_helper.from_array(np.full(64, np.nan, np.float32), each.name))
    onnx.save(model, tmp_path / "decoder.onnx")
    with pytest.raises(ModelError, match="not numbers"):
        heard(tmp_path, clips)


def test_keys_and_values_stand_in_memory_once(exported: Path) -> None:
    """They are turned where the encoder left them, and stay there for as long as somebody attends to them."""
    from wattscribe.seq2seq.whisper_net import WhisperNet

    net = WhisperNet(exported / "encoder.onnx", exported / "decoder.onnx", threads=1)
    assert net.decoder.turned
    keys, values = np.random.default_rng(0).standard_normal((2, 2, 3, 20, 64), np.float32)
    before = keys.copy(), values.copy()
    handed = net.decoder.handed(keys, values)
    heads = net.decoder.heads
    for layer in range(2):
        for given, was, which, order in ((keys, before[0], "k", (0, 2, 3, 1)), (values, before[1], "v", (0, 2, 1, 3))):
            found = handed[f"cross.{layer}.{which}"]
            np.testing.assert_array_equal(found, was[layer].reshape(3, 20, heads, 64 // heads).transpose(order))
            assert np.shares_memory(found, given)
    mels = np.random.default_rng(1).standard_normal((2, 1, 80, 400), np.float32)
    fed = np.array([[1, 2]])
    first, second = (net.encode(mel) for mel in mels)
    alone = net.encode(mels[0]).step(fed).copy()
    second.step(fed)
    np.testing.assert_array_equal(first.step(fed), alone)
