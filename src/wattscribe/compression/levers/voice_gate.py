"""A voice-activity gate as a lever: what the directory's metadata say, and the runtime then does."""

from __future__ import annotations

from wattscribe.compression.levers.tools import Asked
from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.gate import KEEP_KEY, KEEP_S, gate_of


def gated(asked: Asked) -> None:
    """Option: keep_s of silence on either side of speech. Raises InputError for what cannot be."""
    stated = {entry.key: entry for entry in asked.model.metadata_props}
    if "n_audio_ctx" not in stated:
        raise asked.nothing("is no Whisper's, which could hear less")
    entry = stated.get(KEEP_KEY) or asked.model.metadata_props.add()
    entry.key, entry.value = KEEP_KEY, f"{float(asked.options.get('keep_s', KEEP_S)):g}"
    try:
        gate_of({KEEP_KEY: entry.value})
    except ModelError as error:
        raise InputError(error.what, fix="Give keep_s of 0 or more, in seconds") from error
