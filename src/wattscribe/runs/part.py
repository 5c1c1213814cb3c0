"""A part of a corpus, evenly from all of it: what one stage of a search transcribes, and no other does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wattscribe.records import Part, Rejected, Trial, Utterance

MAX_PARTS = 4096


class PartEntry(BaseModel):
    """The table `part`: every utterance whose position in its corpus, divided by `of`, leaves a remainder in `taken`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    of: int = Field(ge=1, le=MAX_PARTS)
    taken: list[int] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> PartEntry:
        if not set(self.taken) <= set(range(self.of)):
            raise ValueError(f"taken holds remainders of a division by {self.of}, which are 0 to {self.of - 1}")
        return self

    def part(self) -> Part:
        """As trials carry it."""
        return Part(of=self.of, taken=tuple(sorted(set(self.taken))))


def in_part(entries: Iterable[Utterance | Rejected], trial: Trial) -> Iterator[tuple[int, Utterance | Rejected]]:
    """What of a corpus a trial may transcribe, each entry with its position: its part of the first `limit` entries; all of it
    where it has no part, of which whoever reads it takes `limit` usable ones."""
    for position, entry in enumerate(entries):
        if trial.part is None:
            yield position, entry
        elif trial.limit is not None and position >= trial.limit:
            return
        elif trial.part.holds(position):
            yield position, entry
