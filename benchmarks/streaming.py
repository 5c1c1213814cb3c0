"""The streaming runtime against sherpa-onnx on one model directory: text, joiner calls, speed, memory, an hour in a pipe.

Run as `python -m benchmarks.streaming [--quick] [SECTION …]` (sections: text, speed, memory, pipe). It needs the recordings and
the zipformer of `../shared/data`, and the extra `sherpa`. Speed is CPU time of one thread; both runtimes take turns on every
utterance, and the ratio is the median over utterances of the ratio of their best of three: other work on the machine then
meets both alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

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


def sherpa(decoding: str, joiner: str = "joiner.onnx", **options: Any) -> Any:
    import sherpa_onnx

    return sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(MODEL / "tokens.txt"), encoder=str(MODEL / "encoder.int8.onnx"), decoder=str(MODEL / "decoder.onnx"),
        joiner=str(MODEL / joiner), num_threads=1,
        decoding_method="greedy_search" if decoding == "greedy" else "modified_beam_search", **options,
    )  # fmt: skip


def heard_by_sherpa(recognizer: Any, audio: np.ndarray, live: bool = False) -> Any:
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


def heard_live(transducer: Any, audio: np.ndarray) -> str:
    stream = transducer.stream()
    for start in range(0, len(audio), LIVE_SAMPLES):
        stream.accept(audio[start : start + LIVE_SAMPLES])
    text = stream.finish().text
    stream.release()
    return text


def text(quick: bool) -> dict[str, Any]:
    """Utterances whose text, and whose token times, equal sherpa-onnx's; joiner calls per second against frame by frame."""
    from wattscribe.corpora.audio import read_audio
    from wattscribe.streaming import open_transducer

    found: dict[str, Any] = {}
    for decoding, joiner in (("greedy", "joiner.onnx"), ("beam", "joiner.onnx"), ("greedy", "joiner.int8.onnx")):
        theirs, ours = (
            sherpa(decoding, joiner),
            open_transducer(MODEL, decoding=decoding, precision="int8" if "int8" in joiner else None),
        )
        for name, files in corpora().items():
            same = timed = calls = frames = 0
            seconds = 0.0
            chosen = files[::10] if quick else files
            for path in chosen:
                audio = read_audio(path)
                expected, got = heard_by_sherpa(theirs, audio), ours.transcribe([audio])[0]
                same += got.text == expected.text.strip()
                starts = [token.start_s for token in got.tokens]
                timed += len(starts) == len(expected.timestamps) and np.allclose(starts, expected.timestamps)
                calls, frames = calls + got.counts.joiner_calls, frames + got.counts.frames
                seconds += len(audio) / 16000
            found[f"{decoding} {joiner} {name}"] = {
                "utterances": len(chosen), "same_text": same, "same_times": int(timed),
                "joiner_calls_per_s": round(calls / seconds, 2), "frames_per_s": round(frames / seconds, 2),
                "fewer_joiner_calls_than_frame_by_frame": round(frames / calls, 2),
            }  # fmt: skip
    return found


def speed(quick: bool) -> dict[str, Any]:
    """CPU time against sherpa-onnx, 1 thread, the clean chapter; and what each measure contributes."""
    from wattscribe.corpora.audio import read_audio
    from wattscribe.streaming import open_transducer

    theirs = sherpa("greedy")
    ours = {
        "full": open_transducer(MODEL),
        "graph as exported": open_transducer(MODEL, rewriting=False),
        "joiner frame by frame": open_transducer(MODEL, frame_by_frame=True),
    }
    runs: dict[str, Callable[[np.ndarray], Any]] = {
        "sherpa file": lambda audio: heard_by_sherpa(theirs, audio).text.strip(),
        "sherpa live": lambda audio: heard_by_sherpa(theirs, audio, live=True).text.strip(),
        "file": lambda audio: ours["full"].transcribe([audio])[0].text,
        "live": lambda audio: heard_live(ours["full"], audio),
        "file, graph as exported": lambda audio: ours["graph as exported"].transcribe([audio])[0].text,
        "file, joiner frame by frame": lambda audio: ours["joiner frame by frame"].transcribe([audio])[0].text,
    }
    audios = [read_audio(path) for path in corpora()["clean"][:: 5 if quick else 1]]
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn, audio in enumerate(audios):
        best = dict.fromkeys(runs, float("inf"))
        for repeat in range(3):
            for name in rotated(list(runs), turn + repeat):
                started = time.process_time()
                runs[name](audio)
                best[name] = min(best[name], time.process_time() - started)
        for name, value in best.items():
            taken[name].append(value)
    seconds = sum(map(len, audios)) / 16000
    pairs = [(n, "sherpa live" if n == "live" else "sherpa file") for n in runs if not n.startswith("sherpa")]
    ratios = {a: np.array(taken[a]) / np.array(taken[b]) for a, b in pairs}
    return {
        "utterances": len(audios),
        "rtf": {name: round(sum(values) / seconds, 5) for name, values in taken.items()},
        "ratio_to_sherpa": {name: round(float(np.median(values)), 4) for name, values in ratios.items()},
        "ratio_quartiles": {n: [round(float(q), 4) for q in np.percentile(v, (25, 75))] for n, v in ratios.items()},
        "load_average": os.getloadavg(),
    }


def rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


_MEMORY = """
import sys, resource
import numpy, onnxruntime, kaldi_native_fbank, soundfile, soxr
from wattscribe.streaming import open_transducer
from wattscribe.streaming.sources import file_blocks
before = int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1])
transducer = open_transducer(sys.argv[1])
stream = transducer.stream()
for block in file_blocks(sys.argv[2]):
    stream.accept(block)
stream.finish()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - before) * 1024, transducer.files.model_bytes)
"""


def memory(quick: bool) -> dict[str, Any]:
    """Peak resident memory above the imports, loading included, against the size of the model's files."""
    path = str(corpora()["clean"][0])
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(MODEL), path], capture_output=True, text=True, check=True, timeout=300
    )
    above, size = map(int, done.stdout.split())
    return {"above_import_bytes": above, "model_bytes": size, "ratio": round(above / size, 2)}


def pipe(quick: bool) -> dict[str, Any]:
    """An hour of speech through `transcribe -`: memory after each tenth, and the text against the file's."""
    import tempfile

    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hour.wav"
        with soundfile.SoundFile(file, "w", 16000, 1, "PCM_16") as sound:
            for audio in an_hour(360 if quick else 3600):
                sound.write(audio)
        command = [sys.executable, "-m", "wattscribe", "transcribe", str(MODEL)]
        process = subprocess.Popen(
            [*command, "-"], stdin=subprocess.PIPE, stdout=(Path(folder) / "pipe.txt").open("wb")
        )
        resident = feed(process, file)
        status = process.wait(timeout=600)
        from_file = subprocess.run([*command, str(file)], capture_output=True, check=True).stdout
        from_pipe = (Path(folder) / "pipe.txt").read_bytes()
    return {
        "audio_s": 360 if quick else 3600,
        "exit_status": status,
        "resident_bytes": resident,
        "growth_after_first_tenth": round(resident[-1] / resident[0] - 1, 4),
        "words": len(from_pipe.split()),
        "same_text_as_file": from_file == from_pipe,
    }


def an_hour(seconds: int) -> Iterator[np.ndarray]:
    """All recordings in turn, half a second apart, until there is enough."""
    from wattscribe.corpora.audio import read_audio

    files, left = [path for paths in corpora().values() for path in paths], seconds * 16000
    while left > 0:
        for path in files:
            audio = np.concatenate([read_audio(path), np.zeros(8000, np.float32)])[:left]
            yield audio
            left -= len(audio)
            if left <= 0:
                return


def feed(process: subprocess.Popen[bytes], file: Path) -> list[int]:
    """Write the samples to the process as fast as it takes them; its resident bytes after each tenth."""
    import psutil
    import soundfile

    watched, resident = psutil.Process(process.pid), []
    assert process.stdin is not None
    with soundfile.SoundFile(file) as sound:
        tenth = sound.frames // 10
        for _ in range(10):
            process.stdin.write(sound.read(tenth, dtype="int16").astype("<i2").tobytes())
            process.stdin.flush()
            resident.append(watched.memory_info().rss)
    process.stdin.close()
    return resident


SECTIONS: dict[str, Callable[[bool], dict[str, Any]]] = {"text": text, "speed": speed, "memory": memory, "pipe": pipe}


def main(arguments: list[str]) -> int:
    if not MODEL.is_dir():
        print(json.dumps({"skipped": "../shared/data is missing"}))
        return 0
    quick = "--quick" in arguments
    names = [name for name in arguments if name in SECTIONS] or list(SECTIONS)
    print(json.dumps({name: SECTIONS[name](quick) for name in names}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
