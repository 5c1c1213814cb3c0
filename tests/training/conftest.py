"""Speech small enough for tests: a few sentences by espeak-ng, which comes with the `train` extra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `train` is not installed")
pytest.importorskip("lightning_fabric", reason="the extra `train` is not installed")

from wattscribe.training.config import (  # noqa: E402
    EncoderConfig,
    JoinerConfig,
    LayerConfig,
    PredictorConfig,
    TransducerConfig,
)
from wattscribe.training.data import Source, SpeechData  # noqa: E402
from wattscribe.training.speech_cache import write_shard  # noqa: E402
from wattscribe.training.synthesis import Voice  # noqa: E402
from wattscribe.training.tokens import Vocabulary, characters  # noqa: E402

SENTENCES = (
    "the cat sat on the mat", "a dog ran home", "we like warm bread", "rain fell all day", "she sold three boats",
    "he has a red hat", "open the green door", "they went by train", "my tea is cold", "look at that star",
    "bring me some milk", "the sun is low", "nine men came in", "hold on to it", "this is the last one",
    "i can see you", "go to bed now", "fish swim in the sea", "sing a song", "what time is it",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[Any]:
    """Tests share two cores, and results must not hang on how many threads there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one shard: twenty sentences by one voice."""
    folder = tmp_path_factory.mktemp("spoken")
    write_shard(folder, 0, [(text, Voice(engine="espeak", name="en-us", rate=1.2)) for text in SENTENCES])
    return folder


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return characters(SENTENCES)


@pytest.fixture
def data(spoken: Any, vocabulary: Vocabulary) -> SpeechData:
    return SpeechData([Source(folder=str(spoken))], vocabulary)


def tiny_config(vocabulary: int, **changes: Any) -> TransducerConfig:
    """A transducer of some ten thousand weights."""
    layer = LayerConfig(heads=2, head_width=8, feed_forward=24, conv_kernel=3, conv_width=16)
    encoder: dict[str, Any] = {
        "time_stack": 4,
        "width": 16,
        "segment": 4,
        "left_context": 8,
        "layers": (layer, layer),
        "dropout": 0.0,
    }
    encoder |= changes.pop("encoder", {})
    settings = {"predictor": PredictorConfig(embedding=12), "joiner": JoinerConfig(width=12), **changes}
    return TransducerConfig(vocabulary=vocabulary, encoder=EncoderConfig(**encoder), **settings)
