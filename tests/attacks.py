"""Every reader of text that a user can name, with a sound file of its kind, and what makes such a file unsound.

`tests/test_attacks.py` draws a few of these, `benchmarks/attack.py` thousands.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from wattscribe.cli.profile import read_laws
from wattscribe.compression.recipe import read_recipe
from wattscribe.corpora import open_corpus
from wattscribe.energy import devices
from wattscribe.energy.constants import draw
from wattscribe.errors import WattscribeError
from wattscribe.metering.recordings import read as read_recording
from wattscribe.metering.sensors import tegrastats_log
from wattscribe.models.vocabulary import read_vocabulary
from wattscribe.records import Utterance, json_text
from wattscribe.runs import experiment
from wattscribe.streaming.phrases import read_phrases


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What reads a file called `name` that ordinarily holds `text`."""

    name: str
    text: str
    use: Callable[[Path], Any]


def _heard(path: Path) -> int:
    """A list beside `a.wav`: every utterance that is none says why."""
    corpus = open_corpus(str(path.parent if path.name in ("text", "wav.scp", "segments") else path))
    heard = 0
    for entry in corpus:
        if isinstance(entry, Utterance):
            try:
                heard += len(corpus.audio(entry)) > 0
            except WattscribeError:
                continue
    return heard


def _device(path: Path) -> None:
    drawn = draw(devices.load(path), 20, 0)
    for each in (drawn.idle_w, *drawn.bytes_per_s.values(), *drawn.mac_per_s.values(), *drawn.read_j_per_byte.values()):
        assert np.isfinite(each).all()
    assert all((each > 0).all() for each in (*drawn.bytes_per_s.values(), *drawn.mac_per_s.values()))


def _recording(path: Path) -> None:
    facts = read_recording(path).facts()
    assert "null" not in json_text({key: value for key, value in facts.items() if isinstance(value, float)})


def _log(path: Path) -> None:
    for trace in tegrastats_log.read(path).traces:
        assert np.isfinite(trace.t_s).all()
        assert np.isfinite(trace.power_w).all()


def _train(path: Path) -> None:
    from wattscribe.training.experiment import read_experiment

    read_experiment(path)


_TEGRASTATS = (
    "11-21-2023 09:15:{:02d} RAM 2448/7763MB (lfb 1x1MB) CPU [2%@729,off] GR3D_FREQ 0% cpu@42.5C VDD_IN 5139mW/4971mW\n"
)
_CUT = (
    '{"id":"c","start":0.1,"duration":0.5,"channel":0,"type":"MonoCut","supervisions":[{"id":"s","recording_id":"r","start":0,'
    '"duration":0.2,"text":"hi","speaker":"p","channel":0},{"id":"t","start":0.2,"duration":0.2,"text":"x"}],"recording":'
    '{"id":"r","sources":[{"type":"file","channels":[0],"source":"a.wav"}],"sampling_rate":16000,"duration":1}}\n'
)
_EXPERIMENT = """models = ["fake:x"]
data = ["bundled"]
snr = [1.0]
noise = ["white"]
repeats = 1
threads = 1
seed = 0
limit = 1
timeout_s = 120.0
idle_s = 0.1
memory_limit_bytes = 1000
conditions = [{ snr = 1.0, noise = "pink" }]
"""
_RECIPE = """schema = 1
model = "m"
device = "phone"
seed = 0
[[step]]
kept = true
lever = "int8"
component = "encoder"
tensors = ["a"]
"""

READERS: Mapping[str, Reader] = {
    "experiment": Reader(name="x.toml", text=_EXPERIMENT, use=experiment.load),
    "recipe": Reader(name="x.toml", text=_RECIPE, use=read_recipe),
    "device": Reader(
        name="x.toml",
        text=(Path(devices.__file__).parent / "phone.toml").read_text(encoding="utf-8"),
        use=_device,
    ),
    "training": Reader(
        name="x.toml",
        text=(Path(__file__).parents[1] / "recipes" / "digits.toml").read_text(encoding="utf-8"),
        use=_train,
    ),
    "laws": Reader(name="x.json", text='{"encoder": [[1, 0.5], [2, 0.4], [3, 0.3], [4, 0.2]]}\n', use=read_laws),
    "manifest": Reader(
        name="m.jsonl",
        text='{"audio_filepath": "a.wav", "text": "hello", "id": "i", "offset": 0.1, "duration": 0.2, "channel": 0}\n',
        use=_heard,
    ),
    "cuts": Reader(name="cuts.jsonl", text=_CUT, use=_heard),
    "stm": Reader(name="x.stm", text="a 1 spk 0.1 0.5 <o> hello {a / b}\n", use=_heard),
    "fleurs": Reader(name="t.tsv", text="1\ta.wav\traw\thello\th e\t16000\tMALE\n", use=_heard),
    "common voice": Reader(name="t.tsv", text='client_id\tpath\tsentence\nc\ta.wav\t"x ""y"""\n', use=_heard),
    "kaldi": Reader(name="text", text="r hello you\n", use=_heard),
    "recording": Reader(
        name="r.csv",
        text="time_s,power_w\n" + "".join(f"{i * 0.1:.1f},{2 + i % 3}\n" for i in range(40)),
        use=_recording,
    ),
    "device per line": Reader(
        name="r.csv",
        text="timestamp, index, power.draw [W]\n"
        + "".join(f"2024/01/02 10:00:{i:02d}.000, 0, {20 + i % 3}.5 W\n" for i in range(40)),
        use=_recording,
    ),
    "tegrastats": Reader(name="t.log", text="".join(_TEGRASTATS.format(i) for i in range(20)), use=_log),
    "phrases": Reader(name="p.txt", text="HELLO WORLD :2.0\nYOU\n", use=read_phrases),
    "tokens": Reader(name="tokens.txt", text="<blk> 0\n▁A 1\nB 2\n", use=read_vocabulary),
}

DIGITS = "1" + "0" * 5000
VALUES = (
    DIGITS, "-1", "0", "nan", "inf", "-Infinity", "1e400", "1e308", "1e-320", "9" * 19, "0x" + "f" * 3000, "²", "٣", "", " ",
    "true", '""', "[]", "{}", "[[[[1]]]]", "[" * 20_000, "{" * 20_000, '{"a":' * 5_000, '"' * 3_001, '"a\\u0000b"', "\0",
    '"\\ud800"', "\u2028", "x" * 70_000, "../" * 2_000, "/dev/zero", "{a/" * 20_000, "1/" * 20_000, "\x1b[2J",
    "9999-12-31 23:59:59", "99:99:99", "#", "\ufeff", '"' + "x" * 200_000, "VDD_IN 1mW " * 5_000,
)  # fmt: skip
"""In place of a value of any format."""
_FIELD = re.compile(r'[^\s,;=:{}\[\]"]+|"[^"\n]*"')


def prepare(folder: Path) -> None:
    """What the lists speak of."""
    soundfile.write(folder / "a.wav", np.zeros(16_000, np.float32), 16_000)
    (folder / "wav.scp").write_text("r a.wav\n", encoding="utf-8")


def unsound(reader: Reader, choices: random.Random, most: int = 2) -> str:
    """The reader's text with one or two of its fields replaced, or cut off somewhere."""
    text = reader.text
    for _ in range(choices.randint(1, most)):
        fields = list(_FIELD.finditer(text))
        if fields:
            field = choices.choice(fields)
            text = text[: field.start()] + choices.choice(VALUES) + text[field.end() :]
    return text[: choices.randrange(len(text) + 1)] if choices.random() < 0.1 else text


def attack(reader: Reader, folder: Path, text: str) -> str | None:
    """Use the text; what was said of it, None where it is taken. Anything but a WattscribeError is raised."""
    path = folder / reader.name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        reader.use(path)
    except WattscribeError as error:
        return str(error)
    finally:
        path.unlink()
    return None
