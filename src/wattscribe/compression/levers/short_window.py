"""A shorter window as a lever: what the directory's metadata say, and the runtime then does."""

from __future__ import annotations

from wattscribe.compression.levers.silence import remember
from wattscribe.compression.levers.tools import Asked
from wattscribe.errors import InputError, ModelError
from wattscribe.seq2seq.windows import Window, window_of


def shorter(asked: Asked) -> None:
    """Options: margin_s of silence behind the speech, step_s whose multiple it ends on; `silence`: one frame in so many of what a
    whole window would hold besides is remembered. Raises InputError for what cannot be."""
    options = asked.options
    window = Window(margin_s=float(options.get("margin_s", 5.0)), step_s=float(options.get("step_s", 5.0)))
    stated = {entry.key: entry for entry in asked.model.metadata_props}
    if "n_audio_ctx" not in stated:
        raise asked.nothing("is no Whisper's, whose windows could be shorter")
    mel = asked.model.graph.input[0].type.tensor_type.shape.dim[-1]
    if mel.HasField("dim_value"):
        raise asked.nothing("takes windows of one length alone")
    for key, value in window.metadata.items():
        entry = stated.get(key) or asked.model.metadata_props.add()
        entry.key, entry.value = key, value
    try:
        window_of(window.metadata)
    except ModelError as error:
        raise InputError(error.what, fix="Give margin_s of 0 or more and step_s above 0") from error
    if "silence" in options:
        stride = int(options["silence"])
        if stride < 1:
            raise InputError(
                f"`silence` {stride} is no number of frames", fix="Give 1 for all of them, 8 for every eighth"
            )
        remember(asked, stride)
