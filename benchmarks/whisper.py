"""Our Whisper export and runtime against the model that they come from: texts, word errors, speed, memory.

    python -m benchmarks.whisper [--part texts|speed|two-step|silence|sherpa|prices] [--model tiny.en] [--result OUT]
                                 [--work FOLDER]

Needs the recordings of `../shared/data`, `whisper-MODEL-hf` (and `whisper-MODEL-ct2` for the speed) in
$WATTSCRIBE_REAL_MODELS, and the extras `hf` and `ct2`, for the speed `sherpa` and `whispercpp` too. `texts` decodes 238
recordings with Transformers and with the export in each precision; what is in FOLDER already is not decoded again, so a run
that was cut off goes on. `speed` puts the export, and OUT of `compress`, beside faster-whisper, sherpa-onnx, whisper.cpp and
Transformers: one thread, greedy, the recognizers taking turns on every recording. `silence` is what shorter windows cost in
words. `sherpa` compares the texts of the fp32 export, or of OUT, with those of unmodified sherpa-onnx. `prices` is what exports
and OUT cost on modelled devices. Prints one JSON value.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from benchmarks import _whisper_prices, _whisper_sherpa, _whisper_silence, _whisper_speed, _whisper_two_step  # noqa: E402

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser()
CORPORA = {"quiet": "librispeech", "noisy": "librispeech-noisy", "ljspeech": "ljspeech/manifest.jsonl"}
SYSTEMS = ("transformers", "fp32", "int8", "fp16")
TIE = 1e-3
"""Two scores (logits) closer than this are a rounding tie: both runtimes compute in 32 bits, in other orders."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--part", choices=("texts", "speed", "two-step", "silence", "sherpa", "prices"), default="texts"
    )
    parser.add_argument("--model", default="tiny.en", help="whisper-MODEL-hf and -ct2 are looked for")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="these alone; any number of times")
    parser.add_argument("--result", type=Path, help="what `compress` wrote, for speed, sherpa and prices")
    parser.add_argument("--rounds", type=int, default=2, help="of the speed: the best one counts")
    parser.add_argument(
        "--only", action="append", help="of the speed, systems whose name begins so; of silence, these ways"
    )
    parser.add_argument("--limit", type=int, help="recordings of each corpus at most")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "wattscribe-whisper")
    asked = parser.parse_args(arguments)
    export = exported(asked.model, asked.work)
    if asked.part == "speed":
        checkpoint = REAL / f"whisper-{asked.model}-hf"
        ggml = _whisper_speed.ggml_files(checkpoint, asked.work)
        named = _whisper_speed.systems(export, REAL / f"whisper-{asked.model}-ct2", checkpoint, ggml, asked.result)
        chosen = tuple(asked.only or [""])
        named = {name: each for name, each in named.items() if name.startswith((*chosen, "faster-whisper int8"))}
        clips = ((name, entry.reference, audio) for entry, name, _, audio in recordings(asked.limit or 4))
        print(json.dumps(_whisper_speed.compare(named, clips, asked.rounds), indent=1))
        return 0
    places = {name: str(SHARED / place) for name, place in CORPORA.items()}
    if asked.part == "prices":
        prices = _whisper_prices.compare(export, asked.result, places.values(), asked.limit, asked.work / "cache")
        print(json.dumps(prices, indent=1))
        return 0
    if asked.part == "silence":
        print(json.dumps(_whisper_silence.compare(export, places, asked.limit, asked.only or ()), indent=1))
        return 0
    if asked.part == "sherpa":
        clips = ((name, at, audio) for _, name, at, audio in recordings(asked.limit))
        print(json.dumps(_whisper_sherpa.compare(asked.result or export, clips), indent=1, ensure_ascii=False))
        return 0
    if asked.part == "two-step":
        print(json.dumps(_whisper_two_step.compare(export, asked.work, recordings(asked.limit)), indent=1))
        return 0
    systems = tuple(asked.system or SYSTEMS)
    for system in systems:
        decode(system, asked.model, export, asked.work, asked.limit)
    print(json.dumps(compared(asked.model, export, asked.work, systems), indent=1))
    return 0


def exported(model: str, work: Path) -> Path:
    from wattscribe.seq2seq.export import export_whisper

    folder = work / model
    if not (folder / "tokens.txt").is_file():
        export_whisper(str(REAL / f"whisper-{model}-hf"), folder, precisions=("fp32", "fp16", "int8"))
    return folder


def recordings(limit: int | None = None) -> Iterator[tuple[Any, str, str, np.ndarray]]:
    """Entry, corpus, number and samples of all 238."""
    from wattscribe.corpora import open_corpus
    from wattscribe.records import Rejected

    for name, place in CORPORA.items():
        corpus = open_corpus(str(SHARED / place))
        for at, entry in enumerate(corpus):
            if limit is not None and at >= limit:
                break
            if isinstance(entry, Rejected):
                raise SystemExit(f"{name}: {entry.reason}")
            yield entry, name, str(at), corpus.audio(entry)


# --- texts ------------------------------------------------------------------------------------------------------------
def decode(system: str, model: str, export: Path, work: Path, limit: int | None) -> None:
    """One line of JSON for each recording as it is decoded."""
    from wattscribe.recognizers import open_recognizer, parse_model

    kept, done = work / f"{model}.{system}.jsonl", {}
    if kept.is_file():
        done = {(row["corpus"], row["at"]): row for row in map(json.loads, kept.read_text().splitlines())}
    name = f"hf:{REAL / f'whisper-{model}-hf'}" if system == "transformers" else f"onnx:{export}"
    recognizer = None
    with kept.open("a", encoding="utf-8") as file:
        for entry, corpus, at, audio in recordings(limit):
            if (corpus, at) in done:
                continue
            if recognizer is None:
                recognizer = open_recognizer(
                    parse_model(name, precision="fp32" if system == "transformers" else system)
                )
            text = recognizer.transcribe([audio])[0].text
            row = {"corpus": corpus, "at": at, "id": entry.id, "reference": entry.reference, "text": text}
            file.write(json.dumps(row) + "\n")
            file.flush()


def compared(model: str, export: Path, work: Path, systems: tuple[str, ...]) -> dict[str, Any]:
    """WER of each corpus and system, texts that differ from Transformers', and the gap where fp32's do."""
    from wattscribe.scoring import count_errors

    rows = {
        system: {
            (row["corpus"], row["at"]): row
            for row in map(json.loads, (work / f"{model}.{system}.jsonl").read_text().splitlines())
        }
        for system in systems
    }
    wer: dict[str, dict[str, float]] = {}
    for system, by_key in rows.items():
        for corpus in CORPORA:
            own = [row for row in by_key.values() if row["corpus"] == corpus]
            if own:
                counts = count_errors([e["reference"] for e in own], [e["text"] for e in own], rule="whisper")
                wer.setdefault(corpus, {})[system] = round(100 * counts.errors.sum() / counts.words.sum(), 3)
    result: dict[str, Any] = {"model": model, "wer_percent": wer}
    source = rows.get("transformers", {})
    result["differing"] = {
        system: sum(source[key]["text"] != row["text"] for key, row in by_key.items() if key in source)
        for system, by_key in rows.items()
        if system != "transformers"
    }
    both = rows.get("fp32", {}).keys() & source.keys()
    other = {key for key in both if rows["fp32"][key]["text"] != source[key]["text"]}
    result["compared"] = len(both)
    result["differences"] = [
        {"id": source[key]["id"], "corpus": key[0], "transformers": source[key]["text"], "ours": rows["fp32"][key]["text"],
         **gap(model, export, key)}
        for key in sorted(other)
    ]  # fmt: skip
    result["within"] = len(both) > 0 and all(difference["tie"] for difference in result["differences"])
    return result


def gap(model: str, export: Path, key: tuple[str, str]) -> dict[str, Any]:
    """The first token that our scores would not have chosen after Transformers' own: both tokens, and by how much each leads."""
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    from wattscribe.seq2seq.mel import log_mel
    from wattscribe.seq2seq.whisper_net import WhisperNet

    audio = next(audio for _, corpus, at, audio in recordings() if (corpus, at) == key)
    source = str(REAL / f"whisper-{model}-hf")
    processor, theirs = (
        WhisperProcessor.from_pretrained(source),
        WhisperForConditionalGeneration.from_pretrained(source),
    )
    net = WhisperNet(export / "encoder.onnx", export / "decoder.onnx", threads=1)
    with torch.inference_mode():
        mel = processor(audio, sampling_rate=16000, return_tensors="pt").input_features
        generated = theirs.generate(mel, num_beams=1, do_sample=False, return_dict_in_generate=True).sequences[0]
        prompt = theirs.generation_config.decoder_start_token_id, theirs.generation_config.no_timestamps_token_id
        tokens = [*prompt, *(token for token in generated.tolist() if token not in prompt)]
        logits = theirs(mel, decoder_input_ids=torch.tensor([tokens])).logits[0].numpy()
    decoding = net.encode(log_mel(audio, net.window_frames, net.number("n_mels"))[None])
    never = list(theirs.generation_config.suppress_tokens)
    for place in range(len(prompt), len(tokens)):
        fed = tokens[: len(prompt)] if place == len(prompt) else tokens[place - 1 : place]
        ours = decoding.step(np.array([fed]))[0]
        ours[never] = -np.inf
        mine, his = int(ours.argmax()), tokens[place]
        if mine != his:
            lead = logits[place - 1][his] - logits[place - 1][mine]
            behind = float(ours[mine] - ours[his])
            words = [processor.tokenizer.decode([token]) for token in (his, mine)]
            return {"place": place, "tokens": words, "their_gap": round(float(lead), 6), "our_gap": round(behind, 6),
                    "tie": bool(max(lead, behind) < TIE)}  # fmt: skip
    return {"tie": False, "reason": "the same tokens are chosen after Transformers' own"}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
