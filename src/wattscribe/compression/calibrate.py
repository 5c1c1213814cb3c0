"""What flows through a model on unlabelled speech: the inputs of its linear maps, and feeds for onnxruntime's calibrators.

Everything is taken from the model as it was before compression, over the audio as it is decoded: segment after segment with
the states carried on, the predictor and the joiner along the greedy path. A map's inputs are kept as their second moments
XᵀX, which is all that rounding, pruning and factorising by least squares need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.candidate import Candidate
from wattscribe.compression.linears import linears
from wattscribe.compression.speech import Audio, SpeechSet
from wattscribe.errors import InputError
from wattscribe.graph.session import open_session, run
from wattscribe.streaming import open_transducer
from wattscribe.streaming.encoder import EncoderLayout, read_layout
from wattscribe.streaming.transducer import Transducer
from wattscribe.units import SAMPLE_RATE_HZ

Array = NDArray[Any]
Feeds = dict[str, Array]
T = TypeVar("T")
_FLUSH_ROWS = 512
FEEDS_KEPT = 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """XᵀX [K, K], float64, and the rows that went into it."""

    gram: NDArray[np.float64]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossed:
    """Of two values on the same rows, x [K] and y [M]: XᵀX, XᵀY and the sums of each, float64."""

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    sum_x: NDArray[np.float64]
    sum_y: NDArray[np.float64]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summed:
    """XᵀX [K, K] and the sum of the rows [K], float64."""

    gram: NDArray[np.float64]
    total: NDArray[np.float64]
    rows: int


class _Sum:
    """XᵀX of rows that come in small pieces."""

    def __init__(self) -> None:
        self._waiting: list[Array] = []
        self._gram: NDArray[np.float64] | None = None
        self._held = 0
        self.rows = 0

    def add(self, values: Array) -> None:
        rows = values.reshape(-1, values.shape[-1]).astype(np.float32)
        self._waiting.append(rows)
        self._held += len(rows)
        self.rows += len(rows)
        if self._held >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        gram = (rows.T @ rows).astype(np.float64)
        self._gram = gram if self._gram is None else self._gram + gram
        self._waiting, self._held = [], 0

    def moments(self) -> Moments:
        self.flush()
        if self._gram is None:
            raise InputError("the calibration audio is too short: no row reached a linear map", fix="Give more audio")
        return Moments(gram=self._gram, rows=self.rows)


def _summed(moments: Moments) -> Summed:
    """Of rows that end in 1."""
    return Summed(gram=moments.gram[:-1, :-1], total=moments.gram[-1, :-1], rows=moments.rows)


def _halves(moments: Moments, width: int) -> Crossed:
    """Of rows that are x, of this width, then y and a 1."""
    x, y, gram = slice(0, width), slice(width, -1), moments.gram
    return Crossed(gram=gram[x, x], cross=gram[x, y], sum_x=gram[-1, x], sum_y=gram[-1, y], rows=moments.rows)


class Calibration:
    """Gathered component by component when first asked for."""

    def __init__(self, original: Candidate, speech: SpeechSet) -> None:
        if not len(speech):
            raise InputError("there is no audio to calibrate on", fix="Give `unlabelled` a folder of audio")
        self._original, self.speech = original, speech
        self._moments: dict[str, dict[str, Moments]] = {}
        self._feeds: dict[str, list[Feeds]] = {}
        self._tail: dict[str, list[Feeds]] | None = None
        self._kept: dict[tuple[Any, ...], Any] = {}

    def kept(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What was rounded by this speech already: recipes share most of their maps."""
        if key not in self._kept:
            self._kept[key] = make()
        value: T = self._kept[key]
        return value

    def moments(self, component: str, source: str) -> Moments:
        """Of the value `source`. Raises InputError for a value that is no linear map's input in the original."""
        moments = self.find(component, source)
        if moments is None:
            raise InputError(f"{source!r} is not an input of a linear map of the original {component}")
        return moments

    def find(self, component: str, source: str) -> Moments | None:
        """`moments`, or None."""
        network = self._original.network_of(component)
        if network not in self._moments:
            self._gather(network)
        return self._moments[network].get(source)

    def crossed(self, component: str, source: str, output: str) -> Crossed:
        """Of two values of the original that have the same rows."""
        return self.all_crossed(component, [(source, output)])[source, output]

    def all_crossed(self, component: str, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Crossed]:
        """`crossed` of many pairs in one walk; what is known already is not gathered again."""
        known: dict[tuple[str, str], Crossed] = self.kept((component, "crossed"), dict)
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        if missing:
            known.update(self._crossed(component, missing))
        return {pair: known[pair] for pair in pairs}

    def _crossed(self, component: str, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Crossed]:
        sums, width = {pair: _Sum() for pair in pairs}, dict[str, int]()
        for _, values in self._walk(component, sorted({name for pair in pairs for name in pair})):
            for (source, output), both in sums.items():
                x, y = values[source], values[output]
                width[source] = x.shape[-1]
                both.add(np.concatenate([x, y, np.ones_like(x[..., :1])], axis=-1))
        return {pair: _halves(both.moments(), width[pair[0]]) for pair, both in sums.items()}

    def queries(self, component: str, sources: Sequence[str]) -> Mapping[str, Summed]:
        """Of values whose rows are asked of speech alone, not of the silence behind it, in one walk."""
        return self.kept((component, *sources, "queries"), lambda: self._queries(component, list(sources)))

    def _queries(self, component: str, sources: list[str]) -> Mapping[str, Summed]:
        sums = {source: _Sum() for source in sources}
        for values in self._spoken(component, sources):
            for source, rows in values.items():
                sums[source].add(np.concatenate([rows, np.ones_like(rows[..., :1])], axis=-1))
        return {source: _summed(total.moments()) for source, total in sums.items()}

    def _spoken(self, component: str, sources: list[str]) -> Iterator[Feeds]:
        """The sources' values of each call, cut to the speech."""
        for _, values in self._walk(component, sources):
            yield values

    def feeds(self, component: str) -> list[Feeds]:
        """Complete inputs of the component at seeded draws of real segments: for onnxruntime's calibrators."""
        if component not in self._feeds:
            self._gather(component)
        return self._feeds[component]

    def feeds_of(self, model: Any) -> list[Feeds]:
        """The same for an encoder whose call takes other segments than the original's: walked anew."""
        audio = _frames(model)
        if audio in (None, _frames(self._original.model("encoder"))):
            return self.feeds("encoder")
        key = f"encoder of {audio} frames"
        if key not in self._feeds:
            path = Path("encoder.onnx")
            net = open_session(path, model=model.SerializeToString())
            layout = read_layout(net, path)
            kept: list[Feeds] = []
            for number, (feeds, _) in enumerate(_walk_encoder(net, path, layout, self.speech, [])):
                _keep(kept, feeds, number)
            self._feeds[key] = kept
        return self._feeds[key]

    def _sources(self, component: str) -> set[str]:
        """The inputs of the linear maps of a network."""
        return {linear.source for linear in linears(self._original.model(component)).values()}

    def _gather(self, component: str) -> None:
        sources = self._sources(component)
        sums = {source: _Sum() for source in sources}
        kept: list[Feeds] = []
        for number, (feeds, values) in enumerate(self._walk(component, sorted(sources))):
            for source, value in values.items():
                sums[source].add(value)
            _keep(kept, feeds, number)
        self._moments[component] = {source: total.moments() for source, total in sums.items()}
        self._feeds[component] = kept

    def _walk(self, component: str, sources: list[str]) -> Iterator[tuple[Feeds, Feeds]]:
        """(feeds, the sources' values) of each call of the component."""
        with self._original.directory() as folder:
            transducer = open_transducer(folder, frame_by_frame=True, rewriting=False)
            path = folder / self._original.names()[component]
            session = open_session(path, model=with_outputs(self._original.model(component), sources))
            if component == "encoder":
                yield from _walk_encoder(session, path, transducer.encoder.layout, self.speech, sources)
                return
            given = set(sources) & {value.name for value in session.get_inputs()}
            wanted = [source for source in sources if source not in given]
            for feeds in self._recorded(transducer)[component]:
                values = dict(zip(wanted, run(session, path, wanted, feeds), strict=True)) if wanted else {}
                yield feeds, {**values, **{name: feeds[name] for name in given}}

    def _recorded(self, transducer: Transducer) -> Mapping[str, list[Feeds]]:
        """What predictor and joiner were asked along the greedy path."""
        if self._tail is None:
            recorders = {"predictor": _Recorder(transducer.predictor.net), "joiner": _Recorder(transducer.joiner.net)}
            transducer.predictor.net, transducer.joiner.net = recorders["predictor"], recorders["joiner"]
            for audio in self.speech.audio:
                stream = transducer.stream()
                stream.buffer(audio)
                stream.finish()
                stream.release()
            self._tail = {name: recorder.feeds for name, recorder in recorders.items()}
        return self._tail


class _Recorder:
    """A session that keeps what it is fed."""

    def __init__(self, net: Any) -> None:
        self._net = net
        self.feeds: list[Feeds] = []

    def run(self, outputs: list[str], feeds: Feeds, options: Any = None) -> Any:
        self.feeds.append({name: np.array(value) for name, value in feeds.items()})
        return self._net.run(outputs, feeds)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # the runtime would go past the recorder to the session inside
            raise AttributeError(name)
        return getattr(self._net, name)


def _frames(model: Any) -> str | None:
    """Feature frames that a call of an encoder takes."""
    return next((str(entry.value) for entry in model.metadata_props if entry.key == "T"), None)


def _keep(kept: list[Feeds], feeds: Feeds, number: int) -> None:
    """Reservoir of fixed size, drawn by a generator of its own so that it does not depend on anything else."""
    if len(kept) < FEEDS_KEPT:
        kept.append(feeds)
        return
    place = int(np.random.default_rng(number).integers(0, number + 1))
    if place < FEEDS_KEPT:
        kept[place] = feeds


def with_outputs(model: Any, names: list[str]) -> bytes:
    """The model with inner values as outputs too."""
    from onnx import ValueInfoProto

    known = {value.name for value in model.graph.output} | {value.name for value in model.graph.input}
    model.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in known)
    return model.SerializeToString()  # type: ignore[no-any-return]


def _walk_encoder(
    session: Any, path: Path, layout: EncoderLayout, speech: SpeechSet, sources: list[str]
) -> Iterator[tuple[Feeds, Feeds]]:
    states = [spec.output for spec in layout.states]
    inputs = {value.name for value in session.get_inputs()}
    wanted = [source for source in sources if source not in inputs]
    for audio in speech.audio:
        for feeds, values in walk(session, path, layout, audio, [*states, *wanted]):
            inner = {name: values[name] for name in wanted}
            yield feeds, {**inner, **{name: feeds[name] for name in sources if name in inputs}}


def walk(
    session: Any, path: Path, layout: EncoderLayout, audio: Audio, outputs: list[str]
) -> Iterator[tuple[Feeds, Feeds]]:
    """An encoder over one utterance, states carried on: (feeds, outputs) of each segment. `outputs` hold the states."""
    carried = [spec.zeros() for spec in layout.states]
    for number, features in enumerate(segments(audio, layout)):
        feeds = layout.feeds(features, [number * layout.shift_frames], carried)
        values = dict(zip(outputs, run(session, path, outputs, feeds), strict=True))
        carried = [values[spec.output] for spec in layout.states]
        yield feeds, values


def segments(audio: Audio, layout: EncoderLayout) -> Iterator[NDArray[np.float32]]:
    """[1, T, mels] of each segment of an utterance, its tail of silence included, as the runtime cuts them."""
    source = layout.source()
    source.accept(np.ascontiguousarray(audio, dtype=np.float32))
    source.accept(np.zeros(round(layout.tail_s * SAMPLE_RATE_HZ), np.float32))
    source.finish()
    rows = np.zeros((layout.segment_frames, layout.feature_dim), np.float32)
    held = 0
    while held + source.ready > layout.segment_frames:
        source.take(layout.segment_frames - held, rows[held:])
        yield rows[None].copy()
        held = layout.segment_frames - layout.shift_frames
        rows[:held] = rows[layout.shift_frames :].copy()


__all__ = ["Calibration", "Feeds", "Moments", "segments", "walk"]
