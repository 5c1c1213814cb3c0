"""Speech in a Hugging Face dataset: from the hub by name, or a folder that `save_to_disk` wrote. Needs the extra `hub`.

Audio is fetched undecoded and goes through the same decoder as files do, so that the dataset library's own audio stack is
not needed. The library runs no code of a dataset (it dropped loading scripts in version 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wattscribe.corpora.audio import audio_blocks, decode_audio, decode_blocks, read_audio
from wattscribe.corpora.base import Audio
from wattscribe.corpora.listed import UNKNOWN_SPEAKER
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.records import Rejected, Utterance

TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_text", "raw_transcription")
ID_COLUMNS = ("id", "utterance_id", "utt_id", "segment_id", "audio_id")
SPEAKER_COLUMNS = ("speaker_id", "speaker", "client_id", "user_id")
"""Column names of the common speech sets (LibriSpeech, Common Voice, FLEURS, VoxPopuli, GigaSpeech, AMI, TED-LIUM)."""

NAMING = "Write hub:NAME, hub:NAME:CONFIG, hub:NAME:CONFIG:SPLIT, or hub:/folder/that/save_to_disk/wrote[:SPLIT]"


class HubCorpus:
    """One split of a dataset; an utterance without an id column is named by its row number."""

    def __init__(self, dataset: Any, *, name: str) -> None:
        self.name = name
        self._columns = _columns(dataset, name)
        self._dataset = _undecoded(dataset, self._columns["audio"])
        self._rows: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Utterance | Rejected]:
        """In row order; audio is not read."""
        seen: dict[str, int] = {}
        listing = self._dataset.select_columns([column for key, column in self._columns.items() if key != "audio"])
        for row, values in enumerate(listing):
            yield self._item(row, values, seen)

    def audio(self, utterance: Utterance) -> Audio:
        value, where = self._stored(utterance)
        return read_audio(value["path"]) if value.get("bytes") is None else decode_audio(value["bytes"], where=where)

    def blocks(self, utterance: Utterance) -> Iterator[Audio]:
        value, where = self._stored(utterance)
        return audio_blocks(value["path"]) if value.get("bytes") is None else decode_blocks(value["bytes"], where=where)

    def _stored(self, utterance: Utterance) -> tuple[Mapping[str, Any], str]:
        """What the row holds: an audio file's bytes or its path. Raises InputError where it holds neither."""
        if self._rows is None:
            self._rows = {item.id: int(item.source.rsplit("#", 1)[1]) for item in self if isinstance(item, Utterance)}
        if utterance.id not in self._rows:
            raise InputError(f"there is no utterance {utterance.id!r}", where=self.name)
        value = self._dataset[self._rows[utterance.id]][self._columns["audio"]]
        where = f"{self.name} row {self._rows[utterance.id]}"
        if not isinstance(value, Mapping) or (value.get("bytes") is None and not value.get("path")):
            raise InputError("missing audio", where=where)
        return value, where

    def _item(self, row: int, values: Mapping[str, Any], seen: dict[str, int]) -> Utterance | Rejected:
        id_ = self._value(values, "id") or str(row)
        reference = self._value(values, "text")
        where = f"{self.name} row {row}"
        if values.get(self._columns["text"]) is None:
            return Rejected(corpus=self.name, id=id_, reason="text missing", where=where)
        first = seen.setdefault(id_, row)
        if first != row:
            return Rejected(corpus=self.name, id=id_, reason=f"duplicate id, first in row {first}", where=where)
        speaker = self._value(values, "speaker") or UNKNOWN_SPEAKER
        return Utterance(id=id_, speaker=speaker, reference=reference, source=f"{self.name}#{row}")

    def _value(self, values: Mapping[str, Any], key: str) -> str:
        value = values.get(self._columns[key]) if key in self._columns else None
        return "" if value is None else str(value).strip()


def open_hub(spec: str) -> HubCorpus:
    """`hub:NAME[:CONFIG][:SPLIT]` or `hub:FOLDER[:SPLIT]`. Raises MissingExtraError, or InputError with what is on offer."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "hub", needed_for="a Hugging Face dataset") from error
    rest = spec.removeprefix("hub:")
    if not rest:
        raise InputError("no dataset is named", where=repr(spec), fix=NAMING)
    try:
        folder, split = _local(rest)
        dataset = datasets.load_from_disk(str(folder)) if folder is not None else _remote(datasets, rest, spec)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the dataset cannot be loaded: {first_line}", where=spec, fix=NAMING) from error
    return HubCorpus(_one_split(dataset, split, spec), name=spec)


def _local(rest: str) -> tuple[Path | None, str | None]:
    """A folder written by `save_to_disk` and the split behind the last colon, if this is one."""
    head, _, tail = rest.rpartition(":")
    for text, split in ((rest, None), (head, tail)):
        folder = Path(text).expanduser() if text else None
        if folder is not None and any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
            return folder, split
    return None, None


def _remote(datasets: Any, rest: str, spec: str) -> Any:
    """A dataset by name: a single part behind the name is a configuration if there is one of that name, else a split."""
    name, *parts = rest.split(":")
    if len(parts) > 2 or not name or not all(parts):
        raise InputError("this is not a dataset's name", where=spec, fix=NAMING)
    config, split = (*parts, None, None)[:2]
    if len(parts) == 1 and parts[0] not in datasets.get_dataset_config_names(name):
        config, split = None, parts[0]
    return datasets.load_dataset(name, config, split=split)


def _one_split(dataset: Any, split: str | None, spec: str) -> Any:
    if not isinstance(dataset, Mapping):
        if split is not None:
            raise InputError(f"this saved dataset has no splits, so not {split!r} either", where=spec)
        return dataset
    if split is None and len(dataset) == 1:
        return next(iter(dataset.values()))
    if split not in dataset:
        wanted = "name a split" if split is None else f"there is no split {split!r}"
        raise InputError(f"{wanted}; on offer: {', '.join(dataset)}", where=spec, fix=NAMING)
    return dataset[split]


def _columns(dataset: Any, name: str) -> dict[str, str]:
    """Which column is what: audio and text must be there, id and speaker may be."""
    import datasets

    audio = [column for column, kind in dataset.features.items() if isinstance(kind, datasets.Audio)]
    text = [column for column in TEXT_COLUMNS if column in dataset.features]
    if not audio or not text:
        what = "audio column" if not audio else f"column with the text (one of {', '.join(TEXT_COLUMNS)})"
        raise InputError(f"the dataset has no {what}; it has {', '.join(dataset.features)}", where=name)
    columns = {"audio": audio[0], "text": text[0]}
    for key, candidates in (("id", ID_COLUMNS), ("speaker", SPEAKER_COLUMNS)):
        present = [column for column in candidates if column in dataset.features]
        if present:
            columns[key] = present[0]
    return columns


def _undecoded(dataset: Any, column: str) -> Any:
    """The dataset with audio as {bytes, path}."""
    import datasets

    return dataset.cast_column(column, datasets.Audio(decode=False))
