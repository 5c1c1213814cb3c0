"""Single spoken words joined to strings with pauses: how a corpus of digits becomes sentences to fine-tune and test on."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.records import Utterance
from wattscribe.training.speech_cache import shard_path, write_utterances
from wattscribe.training.synthesis import TRAINING_ESPEAK, TRAINING_FLITE, Voice, speak, vary
from wattscribe.training.texts import digit_string, plain
from wattscribe.units import SAMPLE_RATE_HZ

Audio = NDArray[np.float32]
SHORTEST, LONGEST = 3, 7
PAUSE_S = (0.1, 0.5)


def join(words: Sequence[tuple[str, Audio]], rng: random.Random) -> tuple[str, Audio]:
    """Words with random pauses between and around them → text and samples."""
    parts = [_pause(rng)]
    for _, samples in words:
        parts += [samples, _pause(rng)]
    return " ".join(text for text, _ in words), np.concatenate(parts)


def _pause(rng: random.Random) -> Audio:
    """Near silence, as between takes: noise at -70 dB of full scale."""
    count = int(rng.uniform(*PAUSE_S) * SAMPLE_RATE_HZ)
    return (np.random.default_rng(rng.getrandbits(32)).standard_normal(count) * 3e-4).astype(np.float32)


def once_each(words: Sequence[tuple[str, Audio]], rng: random.Random) -> list[tuple[str, Audio]]:
    """Strings of 3 to 7 in which every word occurs once: a test set."""
    order = list(words)
    rng.shuffle(order)
    strings = []
    while order:
        count = rng.randint(SHORTEST, LONGEST)
        if len(order) - count < SHORTEST:
            count = len(order)
        strings.append(join(order[:count], rng))
        order = order[count:]
    return strings


def at_random(words: Sequence[tuple[str, Audio]], count: int, rng: random.Random) -> list[tuple[str, Audio]]:
    """`count` strings of words drawn at random: a training set."""
    return [join(rng.choices(words, k=rng.randint(SHORTEST, LONGEST)), rng) for _ in range(count)]


def spoken_digits(
    cache: Path, say: Callable[[str], None], *, strings: int = 600, rate_hz: int = 8000, seed: int = 0
) -> None:
    """`CACHE/spoken`: strings of digits by the synthetic training voices, heard through a line of `rate_hz`.

    Three speakers to fine-tune on are few: these many keep the model from knowing only them.
    """
    folder = cache / "spoken"
    if shard_path(folder, 0).exists():
        return
    rng = random.Random(f"{seed}:spoken")
    items = []
    for number in range(strings):
        text = digit_string(rng)
        name = rng.choice(TRAINING_ESPEAK) if rng.random() < 0.5 else None
        voice = Voice(engine="espeak", name=name) if name else Voice(engine="flite", name=rng.choice(TRAINING_FLITE))
        words = [(word, speak(word, vary(voice, rng))) for word in text.split()]
        samples = join(words, rng)[1]
        narrow = soxr.resample(soxr.resample(samples, SAMPLE_RATE_HZ, rate_hz), rate_hz, SAMPLE_RATE_HZ)
        items.append((f"spoken-{number:04d}", voice.speaker, text, narrow.astype(np.float32)))
    write_utterances(folder, 0, items)
    say(f"spoken: {len(items)} strings")


def leave_one_out(
    corpus_name: str, cache: Path, say: Callable[[str], None], *, strings: int = 400, seed: int = 0
) -> list[str]:
    """For every speaker of a corpus, `CACHE/SPEAKER/test` (each word once) and `CACHE/SPEAKER/train` (its own words).

    Fine-tune for one speaker on the `train` folders of the others. Raises InputError for a corpus of fewer than two speakers.
    """
    from wattscribe.corpora import open_corpus

    corpus = open_corpus(corpus_name)
    by_speaker: dict[str, list[tuple[str, Audio]]] = defaultdict(list)
    for utterance in corpus:
        if isinstance(utterance, Utterance):
            by_speaker[utterance.speaker].append((plain(utterance.reference), corpus.audio(utterance)))
    if len(by_speaker) < 2:
        raise InputError("to leave one speaker out takes two speakers or more", where=corpus_name)
    for speaker, words in sorted(by_speaker.items()):
        rng = random.Random(f"{seed}:{speaker}")
        for kind, recordings in (("test", once_each(words, rng)), ("train", at_random(words, strings, rng))):
            folder = cache / speaker / kind
            if not shard_path(folder, 0).exists():
                named = [(f"{speaker}-{i:04d}", speaker, text, samples) for i, (text, samples) in enumerate(recordings)]
                write_utterances(folder, 0, named)
                say(f"{speaker} {kind}: {len(named)} strings")
    return sorted(by_speaker)
