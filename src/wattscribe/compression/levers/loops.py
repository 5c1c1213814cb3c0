"""An end to loops as a lever: what the directory's metadata say, and the runtime then does."""

from __future__ import annotations

from wattscribe.compression.levers.tools import Asked
from wattscribe.seq2seq.loops import LOOPS_KEY, STOP


def stopped(asked: Asked) -> None:
    """Without options."""
    stated = {entry.key: entry for entry in asked.model.metadata_props}
    if "n_audio_ctx" not in stated:
        raise asked.nothing("is no Whisper's, which could loop")
    entry = stated.get(LOOPS_KEY) or asked.model.metadata_props.add()
    entry.key, entry.value = LOOPS_KEY, STOP
