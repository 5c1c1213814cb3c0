"""The streaming runtime against sherpa-onnx on one model directory: text, joiner calls, speed, memory, an hour in a pipe.

Run as `python -m benchmarks.streaming [--quick] [--keep] [SECTION …]` (sections: text, speed, memory, pipe, vad; `--keep` puts
each where `make bench` does, beside the others). It needs the recordings and the zipformer of `../shared/data`, and the
extra `sherpa`. Speed is CPU time of one thread; both runtimes take turns on every
utterance, and the ratio is the median over utterances of the ratio of their best of three: other work on the machine then
meets both alike.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from benchmarks import streaming_pipe  # noqa: E402
from wattscribe.models import REFERENCE  # noqa: E402

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
MODEL = SHARED / "models/zipformer-gigaspeech-3.3m"
TAIL = np.zeros(12800, np.float32)
LIVE_SAMPLES = 1600
SUFFIXES = (".flac", ".wav", ".ogg")


def corpora() -> dict[str, list[Path]]:
    """70 clean and 70 noisy chapter utterances, 98 LJSpeech clips."""
    places = {"clean": "librispeech", "noisy": "librispeech-noisy", "ljspeech": "ljspeech"}
    return {
        name: sorted(path for path in (SHARED / place).rglob("*") if path.suffix in SUFFIXES)
        for name, place in places.items()
    }


def sherpa(
    decoding: str,
    joiner: str = "joiner.onnx",
    *,
    model: Path = MODEL,
    encoder: str = "encoder.int8.onnx",
    decoder: str = "decoder.onnx",
    **options: Any,
) -> Any:
    import sherpa_onnx

    return sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(model / "tokens.txt"), encoder=str(model / encoder), decoder=str(model / decoder),
        joiner=str(model / joiner), num_threads=1,
        decoding_method="greedy_search" if decoding == "greedy" else "modified_beam_search", **options,
    )  # fmt: skip


def sherpa_result(recognizer: Any, audio: np.ndarray, live: bool = False) -> Any:
    stream = recognizer.create_stream()
    step = LIVE_SAMPLES if live else max(1, len(audio))
    for start in range(0, len(audio), step):
        stream.accept_waveform(16000, audio[start : start + step])
        while live and recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
    stream.accept_waveform(16000, TAIL)
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    return recognizer.get_result_all(stream)


def transcript(transducer: Any, audio: np.ndarray) -> Any:
    return transducer.transcribe([audio])[0].text


def transcript_live(transducer: Any, audio: np.ndarray) -> Any:
    stream = transducer.stream()
    for start in range(0, len(audio), LIVE_SAMPLES):
        stream.accept(audio[start : start + LIVE_SAMPLES])
    answer = stream.finish()
    stream.release()
    return answer


PARITY = (
    ("greedy", "joiner.onnx", 0.0),
    ("beam", "joiner.onnx", 0.0),
    ("greedy", "joiner.int8.onnx", 0.0),
    ("beam", "joiner.int8.onnx", 0.0),
    ("beam", "joiner.onnx", 0.8),
)
"""Decoding, joiner file, blank penalty."""


def text(quick: bool) -> dict[str, Any]:
    """Utterances whose text, and whose token times, equal sherpa-onnx's; joiner calls per second against frame by frame."""
    from wattscribe.streaming import open_transducer

    results: dict[str, Any] = {}
    for decoding, joiner, penalty in PARITY:
        theirs = sherpa(decoding, joiner, blank_penalty=penalty)
        precision = "int8" if "int8" in joiner else None
        ours = open_transducer(MODEL, decoding=decoding, precision=precision, blank_penalty=penalty)
        ours.lookahead.get(10_000)  # as after some minutes of files: several segments per encoder call
        for name, files in corpora().items():
            label = f"{decoding} {joiner}{f' blank penalty {penalty}' if penalty else ''} {name}"
            results[label] = parity(theirs, ours, files[::10] if quick else files, live=decoding == "greedy")
        if decoding == "greedy":
            results[f"greedy {joiner} fewer joiner calls live, all recordings together"] = together(
                [results[f"greedy {joiner} {name}"] for name in corpora()]
            )
        results[f"{decoding} {joiner} {penalty} segments per encoder call refused"] = ours.lookahead.refused
    return results | shipped_text(quick)


def together(parts: list[dict[str, Any]]) -> float:
    """Frames by calls over several corpora."""
    frames, calls = (float(sum(part[name] for part in parts)) for name in ("frames", "joiner_calls_live"))
    return round(frames / calls, 2)


def shipped_text(quick: bool) -> dict[str, Any]:
    """The same for the shipped model; sherpa-onnx brings another release of onnxruntime, whose last bits may differ."""
    from wattscribe.streaming import open_transducer

    results: dict[str, Any] = {}
    for precision in ("fp16", "int8"):
        encoder, decoder, joiner = (f"{part}.{precision}.onnx" for part in ("encoder", "decoder", "joiner"))
        theirs = sherpa("greedy", joiner, model=REFERENCE, encoder=encoder, decoder=decoder)
        ours = open_transducer(REFERENCE, precision=precision)
        exported = open_transducer(REFERENCE, precision=precision, rewriting=False)
        ours.lookahead.get(10_000)
        for name, files in corpora().items():
            some = files[::10] if quick else files
            results[f"shipped {precision} greedy {name}"] = parity(theirs, ours, some, live=True) | {
                "same_text_as_exported_graph": same_texts(ours, exported, some)
            }
    return results


def same_texts(one: Any, other: Any, files: list[Path]) -> int:
    """Files of which both make the same text."""
    from wattscribe.corpora.audio import read_audio

    audios = map(read_audio, files)
    return sum(one.transcribe([audio])[0].text == other.transcribe([audio])[0].text for audio in audios)


def parity(theirs: Any, ours: Any, files: list[Path], live: bool) -> dict[str, Any]:
    """One corpus: files, and where asked the live feed too."""
    from wattscribe.corpora.audio import read_audio

    same = timed = same_live = calls = live_calls = frames = 0
    seconds = 0.0
    for path in files:
        audio = read_audio(path)
        expected, answer = sherpa_result(theirs, audio), ours.transcribe([audio])[0]
        same += answer.text == expected.text.strip()
        starts = [token.start_s for token in answer.tokens]
        timed += len(starts) == len(expected.timestamps) and np.allclose(starts, expected.timestamps)
        calls, frames = calls + answer.counts.joiner_calls, frames + answer.counts.frames
        seconds += len(audio) / 16000
        if live:
            live_answer = transcript_live(ours, audio)
            same_live += live_answer.text == expected.text.strip()
            live_calls += live_answer.counts.joiner_calls
    result = {
        "utterances": len(files), "same_text": same, "same_times": int(timed), "frames": frames,
        "joiner_calls_per_s": round(calls / seconds, 2), "frames_per_s": round(frames / seconds, 2),
        "fewer_joiner_calls_than_frame_by_frame": round(frames / calls, 2),
    }  # fmt: skip
    if live:
        result |= {"same_text_live": same_live, "joiner_calls_live": live_calls}
        result |= {"fewer_joiner_calls_live": round(frames / live_calls, 2)}
    return result


def speed(quick: bool) -> dict[str, Any]:
    """CPU time against sherpa-onnx, 1 thread, half of the clean chapter; what each measure adds; the shipped model too."""
    from wattscribe.streaming import open_transducer

    results: dict[str, Any] = {}
    results["zipformer"] = timed(MODEL, "encoder.int8.onnx", "decoder.onnx", "joiner.onnx", None, quick, measures=True)
    for precision in ("fp16", "int8"):
        encoder, decoder, joiner = (f"{part}.{precision}.onnx" for part in ("encoder", "decoder", "joiner"))
        results[f"shipped {precision}"] = timed(REFERENCE, encoder, decoder, joiner, precision, quick)
    started = time.process_time()
    open_transducer(MODEL)
    results["opening_cpu_s_once_kept"] = round(time.process_time() - started, 3)
    return results


def timed(
    model: Path, encoder: str, decoder: str, joiner: str, precision: str | None, quick: bool, measures: bool = False
) -> dict[str, Any]:
    """One model: sherpa-onnx and this runtime take turns on every utterance."""
    from wattscribe.corpora.audio import read_audio
    from wattscribe.streaming import open_transducer

    theirs = sherpa("greedy", joiner, model=model, encoder=encoder, decoder=decoder)
    ours = {"": open_transducer(model, precision=precision)}
    if measures:
        ours |= {
            ", one segment per call": open_transducer(model),
            ", graph as exported": open_transducer(model, rewriting=False),
            ", joiner frame by frame": open_transducer(model, frame_by_frame=True),
        }
        ours[", one segment per call"].lookahead.refused = "for comparison"
    for opened in ours.values():
        opened.lookahead.get(10_000)
    runs: dict[str, Callable[[np.ndarray], Any]] = {
        "sherpa file": lambda audio: sherpa_result(theirs, audio).text.strip(),
        "sherpa live": lambda audio: sherpa_result(theirs, audio, live=True).text.strip(),
        "live": lambda audio: transcript_live(ours[""], audio).text,
    }
    for name, transducer in ours.items():
        runs[f"file{name}"] = partial(transcript, transducer)
    audios = [read_audio(path) for path in corpora()["clean"][:: 5 if quick else 2]]
    taken: dict[str, list[float]] = {name: [] for name in runs}
    same = 0
    for turn, audio in enumerate(audios):
        best = dict.fromkeys(runs, float("inf"))
        texts = {}
        for repeat in range(3):
            for name in rotated(list(runs), turn + repeat):
                started = time.process_time()
                texts[name] = runs[name](audio)
                best[name] = min(best[name], time.process_time() - started)
        same += len(set(texts.values())) == 1
        for name, value in best.items():
            taken[name].append(value)
    return ratios(taken, sum(map(len, audios)) / 16000) | {"same_text_everywhere": same}


def ratios(taken: dict[str, list[float]], seconds: float) -> dict[str, Any]:
    """The median over utterances of the ratio to sherpa-onnx in the same mode."""
    pairs = [(n, "sherpa live" if n == "live" else "sherpa file") for n in taken if not n.startswith("sherpa")]
    quotients = {a: np.array(taken[a]) / np.array(taken[b]) for a, b in pairs}
    return {
        "utterances": len(taken["live"]),
        "rtf": {name: round(sum(values) / seconds, 5) for name, values in taken.items()},
        "ratio_to_sherpa": {name: round(float(np.median(values)), 4) for name, values in quotients.items()},
        "ratio_quartiles": {n: [round(float(q), 4) for q in np.percentile(v, (25, 75))] for n, v in quotients.items()},
        "load_average": os.getloadavg(),
    }


def rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def vad(quick: bool) -> dict[str, Any]:
    """The chapter with pauses joined in: words and encoder calls with and without the gate."""
    from wattscribe.corpora import open_corpus
    from wattscribe.records import Utterance
    from wattscribe.scoring import count_errors, normaliser
    from wattscribe.streaming import open_transducer
    from wattscribe.streaming.transducer import whole
    from wattscribe.streaming.vad import GatedStream

    transducer, clean = open_transducer(MODEL), normaliser("whisper")
    corpus = open_corpus(str(SHARED / "librispeech"))
    utterances = [entry for entry in corpus if isinstance(entry, Utterance)][:: 10 if quick else 1]
    noise = np.random.default_rng(0)
    pieces: list[np.ndarray] = []
    for turn, utterance in enumerate(utterances):
        pause = 16000 * (1, 2, 4, 8)[turn % 4]
        pieces += [corpus.audio(utterance), (noise.standard_normal(pause) * 1e-4).astype(np.float32)]
    audio = np.concatenate(pieces)
    reference = clean(" ".join(utterance.reference for utterance in utterances))
    figures: dict[str, Any] = {"audio_s": round(len(audio) / 16000, 1)}
    for name, stream in (("without", transducer.stream()), ("with", GatedStream(transducer))):
        for start in range(0, len(audio), LIVE_SAMPLES):
            stream.accept(audio[start : start + LIVE_SAMPLES])
        last = stream.finish()
        text = (
            " ".join([*(utterance.transcript.text for utterance in stream.ended), last.text])
            if isinstance(stream, GatedStream)
            else whole(stream).text
        )
        errors = count_errors([reference], [clean(text)])
        wrong = sum(int(np.sum(counts)) for counts in (errors.substitutions, errors.deletions, errors.insertions))
        figures[name] = {
            "words": len(reference.split()), "word_errors": wrong, "wer": round(wrong / len(reference.split()), 4),
            "encoder_calls": stream.counts.encoder_calls,
        }  # fmt: skip
        if isinstance(stream, GatedStream):
            figures["skipped_s"] = round(stream.skipped_s, 1)
    figures["saved_encoder_calls"] = round(
        1 - figures["with"]["encoder_calls"] / figures["without"]["encoder_calls"], 3
    )
    return figures


def memory(quick: bool) -> dict[str, Any]:
    """Resident memory above the imports against the size of the model's files, and what onnxruntime takes by itself."""
    from benchmarks import _memory

    return _memory.memory(MODEL, corpora()["clean"][0])


def pipe(quick: bool) -> dict[str, Any]:
    """An hour of all recordings in turn."""
    files = [path for paths in corpora().values() for path in paths]
    return streaming_pipe.through_a_pipe(MODEL, files, 360 if quick else 3600)


SECTIONS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "text": text,
    "speed": speed,
    "memory": memory,
    "pipe": pipe,
    "vad": vad,
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"all of {', '.join(SECTIONS)} unless named")
    parser.add_argument("--quick", action="store_true", help="fewer recordings")
    parser.add_argument("--keep", action="store_true", help="put the results into results/streaming.json")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    if not MODEL.is_dir():
        print(json.dumps({"skipped": "../shared/data is missing"}))
        return 0
    results = {}
    for name in chosen.sections or SECTIONS:
        results[name] = SECTIONS[name](chosen.quick)
        if chosen.keep:
            keep(name, results[name], arguments)
    print(json.dumps(results))
    return 0


def keep(section: str, result: dict[str, Any], arguments: list[str]) -> None:
    """Put one section's result beside the others in `results/streaming.json`, with what it holds for."""
    from benchmarks.__main__ import RESULTS, machine

    path = RESULTS / "streaming.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    options = [option for option in arguments if option.startswith("--")]
    command = " ".join(["python -m benchmarks.streaming", *options, section])
    record["result"][section] = result
    record.setdefault("sections", {})[section] = {"date": now, "command": command}
    record |= {"date": now, "command": "sections run one by one, as `sections` says", "machine": machine()}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
