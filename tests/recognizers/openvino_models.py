"""A Whisper checkpoint of Transformers as the directory that openvino-genai opens, converted with OpenVINO's own converter.

The decoder keeps the tokens so far as its state and runs over all of them at each step; optimum-intel's exports keep keys and
values instead. The pipeline above both is the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

_COPIED = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def _converted(module: Any, example: dict[str, Any], inputs: list[tuple[str, list[int], Any]]) -> Any:
    import openvino

    with torch.no_grad():
        model = openvino.convert_model(module.eval(), example_input=example)
    for port, (name, shape, _) in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(openvino.PartialShape(shape))
    model.validate_nodes_and_infer_types()
    return model


class _Encoder(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.model.encoder

    def forward(self, input_features: Any) -> Any:
        return self.encoder(input_features).last_hidden_state


class _Decoder(torch.nn.Module):
    """Scores of the new tokens, and all tokens so far."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder, self.head = model.model.decoder, model.proj_out

    def forward(self, input_ids: Any, encoder_hidden_states: Any, past: Any, beam_idx: Any) -> Any:
        tokens = torch.cat([past[beam_idx.long()], input_ids], dim=1)
        length = tokens.shape[1]
        places = torch.arange(length)
        hidden = self.decoder.embed_tokens(tokens) + self.decoder.embed_positions.weight[places]
        mask = torch.full((length, length), -1e9).triu(1)[None, None]
        for layer in self.decoder.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                encoder_hidden_states=encoder_hidden_states,
                past_key_values=None,
                use_cache=False,
            )
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        logits = self.head(self.decoder.layer_norm(hidden))
        return logits[:, -input_ids.shape[1] :], tokens


def convert(source: Path, target: Path, *, int8: bool = False) -> None:
    import openvino
    from openvino._offline_transformations import apply_make_stateful_transformation
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(source, attn_implementation="eager").eval()
    frames, width = 2 * model.config.max_source_positions, model.config.d_model
    mels = model.config.num_mel_bins
    encoder = _converted(
        _Encoder(model),
        {"input_features": torch.zeros(1, mels, frames)},
        [("input_features", [-1, mels, frames], None)],
    )
    encoder.outputs[0].get_tensor().set_names({"last_hidden_state"})
    example = {
        "input_ids": torch.ones(1, 2, dtype=torch.int64),
        "encoder_hidden_states": torch.zeros(1, frames // 2, width),
        "past": torch.ones(1, 3, dtype=torch.int64),
        "beam_idx": torch.zeros(1, dtype=torch.int32),
    }
    decoder = _converted(
        _Decoder(model),
        example,
        [
            ("input_ids", [-1, -1], None),
            ("encoder_hidden_states", [-1, frames // 2, width], None),
            ("past", [-1, -1], None),
            ("beam_idx", [-1], None),
        ],
    )
    decoder.outputs[0].get_tensor().set_names({"logits"})
    decoder.outputs[1].get_tensor().set_names({"tokens"})
    apply_make_stateful_transformation(decoder, {"past": "tokens"})
    target.mkdir(exist_ok=True)
    for name, graph in (("encoder", encoder), ("decoder", decoder)):
        openvino.save_model(graph, target / f"openvino_{name}_model.xml", compress_to_fp16=False)
    tokenizer, detokenizer = convert_tokenizer(
        AutoTokenizer.from_pretrained(source), with_detokenizer=True, skip_special_tokens=True
    )
    openvino.save_model(tokenizer, target / "openvino_tokenizer.xml")
    openvino.save_model(detokenizer, target / "openvino_detokenizer.xml")
    for name in _COPIED:
        if (source / name).is_file():
            shutil.copy(source / name, target / name)
    if not (target / "preprocessor_config.json").is_file():
        from transformers import AutoFeatureExtractor

        AutoFeatureExtractor.from_pretrained(source).save_pretrained(target)
    assert np.isfinite(width)
