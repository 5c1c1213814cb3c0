"""The whole verb: the JSON contract, the table, the page, bad input; and the other kinds of model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import wattscribe
from tests.documents import described
from tests.energy.builders import CHAPTER, ZIPFORMER, component, device, needs_zipformer, rates, workload
from tests.pages.browser import MISSING, Browser
from wattscribe import api
from wattscribe.cli import main
from wattscribe.cli.profile import size_bytes
from wattscribe.energy import devices
from wattscribe.energy.modelled import modelled_reading, modelled_utterance_j
from wattscribe.energy.placement import place
from wattscribe.energy.profile import build
from wattscribe.energy.rates import counted
from wattscribe.errors import InputError, ModelError
from wattscribe.models import REFERENCE
from wattscribe.records import Counts

ARCH = ["profile", "arch:emformer-rnnt-base", "--vocab", "4097", "--decoding", "frame-by-frame"]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    described("profile", found)
    return found


def test_the_json_contract(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, *ARCH, "--battery-wh", "15")
    assert set(found["components"]) == {"encoder", "predictor", "joiner"}
    for each in found["components"].values():
        low, high = each["power_ci95_mw"]
        assert low <= each["power_mw"] <= high
        parts = each["parts"]
        total = sum(part["mw"] for part in parts["weight_reads"].values())
        total += parts["activations"]["mw"] + parts["arithmetic"]["mw"] + parts["idle"]["mw"]
        assert total == pytest.approx(each["power_mw"])
    for share in ("size_share", "power_share"):
        assert sum(each[share] for each in found["components"].values()) == pytest.approx(1)
    assert found["components"]["joiner"]["invocations_per_s"] == pytest.approx(25 + 4.8)
    assert found["components"]["joiner"]["size_bytes"] == (1024 * 4097 + 4097) * 4
    assert sum(each["power_mw"] for each in found["components"].values()) == pytest.approx(found["total_mw"])
    assert found["mj_per_audio_s"] == found["total_mw"]
    assert found["order"][0] == "joiner"
    assert found["rates"]["source"] == "stated"
    assert found["placement"]["capacity_bytes"] == 8_000_000
    assert found["battery_hours"] == pytest.approx(15 / (found["total_mw"] / 1e3))
    assert found["evidence"] == "modelled"
    assert {"local_memory_bytes", "segment_s", "beam", "vocabulary"} == set(found["curves"])
    assert run_json(capsys, *ARCH, "--battery-wh", "15") == found  # seeded


def test_local_memory_and_placement_options(capsys: pytest.CaptureFixture[str]) -> None:
    none = run_json(capsys, *ARCH, "--local-memory", "0")
    large = run_json(capsys, *ARCH, "--local-memory", "400MB")
    assert none["placement"]["local"] == []
    assert set(large["placement"]["local"]) == {"encoder", "predictor", "joiner"}
    assert large["total_mw"] < 0.5 * none["total_mw"]
    split = run_json(capsys, *ARCH, "--placement", "tensor")
    assert split["total_mw"] <= run_json(capsys, *ARCH)["total_mw"]
    assert all("/" in name for name in split["placement"]["local"])


@needs_zipformer
def test_a_real_decode_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(CHAPTER), "--limit", "2", "--decoding", "frame-by-frame", "--device", "wearable"]
    found = run_json(capsys, "profile", str(ZIPFORMER), *options)
    assert found["rates"]["source"] == "counted"
    assert "2 utterances" in found["rates"]["note"]
    joiner = found["components"]["joiner"]
    assert joiner["invocations_per_s"] == pytest.approx(found["rates"]["frames_per_s"])
    assert found["mj_per_word"] > found["mj_per_audio_s"] / 10
    # the joiner's bytes are read 26 times a second: it lies in 1 MB, and activations in what it leaves
    assert found["placement"]["local"] == ["joiner"]
    assert joiner["power_share"] < joiner["size_share"]
    assert 0 < found["placement"]["activations_local"] < 1
    assert found["placement"]["local_bytes"] + found["placement"]["reserved_bytes"] == 1_000_000
    at = ["--frames-per-s", str(found["rates"]["frames_per_s"]), "--tokens-per-s", str(found["rates"]["tokens_per_s"])]
    small = run_json(capsys, "profile", str(ZIPFORMER), *at, *options[4:], "--local-memory", "500kB")
    joiner = small["components"]["joiner"]
    assert joiner["power_share"] > 2 * joiner["size_share"]
    assert small["order"][0] == "joiner"


def test_the_table_says_what_it_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARCH, "--battery-wh", "15"]) == 0
    printed = capsys.readouterr().out
    for text in ("every figure modelled", "rates stated", "joiner", "compress in this order: joiner", "h on 15 Wh"):
        assert text in printed


def test_devices_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert "jetson-orin-nano-15w" in capsys.readouterr().out
    assert main(["devices", "phone"]) == 0
    assert "local.read" in capsys.readouterr().out
    assert main(["devices", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["devices"]) == len(devices.names()) == len(api.devices())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*ARCH, "--device", "toaster"], "there is no device 'toaster'"),
        ([*ARCH, "--local-memory", "8 apples"], "'8 apples' is not a size"),
        ([*ARCH, "--battery-wh", "0"], "a battery cannot hold 0 Wh"),
        ([*ARCH, "--device", "mcu-npu"], "does not fit mcu-npu"),
        ([*ARCH, "--data", "speech"], "rates can be counted on exported transducers and Transformers encoder–decoders"),
        (["profile", "missing-folder"], "missing-folder: there is no such directory"),
        (["profile", "arch:x"], "there is no architecture 'x'"),
        ([*ARCH, "--accuracy", "none.json"], "none.json: not a JSON file of points"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.strip().splitlines()) == 1


def test_accuracy_points_weigh_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = {
        name: [[factor * scale * 1e6, 0.04 + 0.1 * 2.718**-factor] for factor in (0.5, 1.0, 2.0, 3.0, 4.0)]
        for name, scale in (("encoder", 100.0), ("predictor", 20.0), ("joiner", 6.0))
    }
    path = tmp_path / "points.json"
    path.write_text(json.dumps(points))
    found = run_json(capsys, *ARCH, "--accuracy", str(path))
    assert found["accuracy"]["joiner"]["a_per_mb"] == pytest.approx(-1 / 6, rel=0.01)
    assert found["steps"][0]["wer_increase"] is not None
    path.write_text(json.dumps({name: pairs[:3] for name, pairs in points.items()}))
    assert main([*ARCH, "--accuracy", str(path)]) == 2
    assert "needs 4 sizes" in capsys.readouterr().err


def test_sizes_as_people_write_them() -> None:
    assert [size_bytes(text) for text in ("0", "4MB", "1.5 MB", "512KiB", "2GiB", "77")] == [
        0,
        4e6,
        1.5e6,
        2**19,
        2**31,
        77,
    ]
    with pytest.raises(InputError):
        size_bytes("MB")


@pytest.mark.browser
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_the_page_opens_without_a_console_error_and_escapes_names(tmp_path: Path) -> None:
    from wattscribe.pages.profile_page import write_page

    evil = "<script>window.broken = true</script>"
    made = workload(
        component("encoder", [4000], macs=10), component("joiner", [600]), segment_s=0.32, frames_per_segment=8.0
    )
    named = type(made)(**{**{name: getattr(made, name) for name in made.__slots__}, "name": evil})
    found = build(named, rates(encoder=(3, 3), joiner=(25, 25)), device(), battery_wh=1.0)
    page = tmp_path / "page.html"
    write_page(found, page)
    text = page.read_text(encoding="utf-8")
    assert evil not in text
    assert 'src="http' not in text
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.run("return document.querySelectorAll('.js-plotly-plot').length") >= 4
        assert browser.run("return window.broken === undefined")
        assert browser.logs() == []


# --- in the bench -----------------------------------------------------------------------------------------------------
def test_an_utterance_s_joules_by_hand_and_additive() -> None:
    made = workload(
        component("encoder", [5000], macs=100), component("predictor", [200]), component("joiner", [600], macs=10)
    )
    one = Counts(encoder_calls=3, encoder_rows=3, predictor_calls=2, predictor_rows=2, joiner_calls=9, joiner_rows=20)
    two = Counts(encoder_calls=5, encoder_rows=5, predictor_calls=7, predictor_rows=7, joiner_calls=11, joiner_rows=40)
    toy = device()
    placed = place(made, counted(made, one + two, 3.0), toy)
    assert placed.local == ("predictor", "joiner")
    reads = 3 * 5000 * 10e-9 + (2 * 200 + 9 * 600) * 1e-9
    arithmetic = (3 * 100 + 20 * 10) * 4e-12
    busy = 3 * 5000 / 1e6 + (2 * 200 + 9 * 600) / 2e6 + (3 * 100 + 20 * 10) / 1e6

    def joules(counts: Counts, audio_s: float) -> float:
        return modelled_utterance_j(made, counts, audio_s, toy, placement=placed)

    assert joules(one, 1.0) == pytest.approx(reads + arithmetic + 1e-3 * busy)
    assert joules(one + two, 3.0) == pytest.approx(joules(one, 1.0) + joules(two, 2.0))
    assert modelled_utterance_j(made.to_json(), one, 1.0, toy, placement=placed) == joules(one, 1.0)
    noisy = Counts(
        encoder_calls=3, encoder_rows=3, predictor_calls=4, predictor_rows=4, joiner_calls=14, joiner_rows=30
    )
    assert joules(noisy, 1.0) > joules(one, 1.0)


def test_a_modelled_reading_says_so() -> None:
    made = workload(component("encoder", [5000]), component("joiner", [600]))
    found = modelled_reading(made, Counts(encoder_calls=3, encoder_rows=3), 2.0, devices.load("phone"), window_s=0.5)
    assert found.evidence == "modelled"
    assert found.energy_j is not None
    assert found.energy_ci95_j is not None
    assert found.energy_ci95_j[0] < found.energy_j < found.energy_ci95_j[1]
    assert "phone" in found.covers
    assert found.window_s == 0.5


# --- other kinds of model ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_transformers_models_from_their_configuration(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from wattscribe.energy import hf

    if family == "whisper":
        config = transformers.WhisperConfig(
            d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
            encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=1000, num_mel_bins=80, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        model = transformers.WhisperForConditionalGeneration(config)
    else:
        config = transformers.Wav2Vec2Config(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=32
        )
        model = transformers.AutoModelForCTC.from_config(config)
    config.save_pretrained(tmp_path)
    found = hf.workload_of(str(tmp_path))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert sum(each.parameters for each in found.components) == parameters
    if family == "wav2vec2":
        assert found.component("encoder").call_bytes == pytest.approx(4 * parameters, rel=0.01)
        return
    frames, width, inner = 1500, 64, 128
    layer = frames * (4 * width**2 + 2 * width * inner) + 2 * frames**2 * width
    front = 3000 * 80 * width * 3 + frames * width * width * 3
    assert found.component("encoder").total_macs == pytest.approx(front + 2 * layer, rel=0.01)
    assert found.component("cross_attention").total_macs == pytest.approx(2 * 2 * frames * width**2, rel=0.01)
    token = 2 * (4 * width**2 + 2 * width**2 + 2 * width * inner + 2 * frames * width + 2 * 2 * width) + 1000 * width
    assert found.component("decoder").total_macs == pytest.approx(token, rel=0.01)
    assert hf.workload_of(str(tmp_path), precision="int8").size_bytes < 0.3 * found.size_bytes


def test_the_shipped_model_is_profiled_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = run_json(capsys, "profile", "reference")
    by_path = run_json(capsys, "profile", str(REFERENCE))
    assert by_name["components"] == by_path["components"]


@pytest.mark.parametrize("model", ["whispercpp:ggml-base.bin", "moonshine:folder", "cmd:python asr.py"])
def test_what_another_runtime_runs_is_called_that(model: str) -> None:
    with pytest.raises(ModelError, match=r"is run by \w+:, whose models cannot be counted"):
        wattscribe.profile(model)
