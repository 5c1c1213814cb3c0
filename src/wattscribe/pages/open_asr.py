"""Result files as the Open ASR Leaderboard writes and scores them: one JSONL per recognizer and set of speech.

Its `normalizer/eval_utils.py` (github.com/huggingface/open_asr_leaderboard, read 2026-11) writes with `write_manifest`, and takes
apart with `score_results`: the file's name says model and dataset, a line holds `audio_filepath`, `duration` and `time` in s,
`text` and `pred_text`. It normalises both texts itself, so raw ones are written; its `prepare_data` leaves out references
without words, so those are left out here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wattscribe import whole_file
from wattscribe.errors import InputError
from wattscribe.pages.published import LIBRISPEECH, dataset_of, model_of, settings_of_name, variant_of
from wattscribe.records import RunFacts
from wattscribe.results.cost import computed_s
from wattscribe.results.groups import Group, group
from wattscribe.scoring import normaliser

NOT_SCORED = "ignore time segment in scoring"
"""A reference that its `prepare_data` leaves out."""
_SETS = {folder: f"{split}.{config}" for folder, (config, split) in LIBRISPEECH.items()}


def write(facts: RunFacts, folder: Path) -> list[Path]:
    """One file per finished recognizer × corpus × condition, of its first repeat. Raises InputError for none, and OSError."""
    finished = [each for each in group(facts) if each.done]
    if not finished:
        raise InputError(f"no trial of the run {facts.name} is finished", fix="Resume it: wattscribe bench --resume")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, row_group in zip(names(finished), finished, strict=True):
        path = folder / name
        whole_file.write_text(path, "".join(f"{line}\n" for line in lines(row_group)))
        written.append(path)
    return written


def lines(row_group: Group) -> Iterator[str]:
    """An utterance each. A batch's time is shared out evenly, as the leaderboard does; without an answer the text is empty."""
    utterances = row_group.done[0].utterances
    together = Counter((each.start_s, each.end_s) for each in utterances)
    words = normaliser("whisper")
    for each in utterances:
        said = words(each.reference)
        if not said or said == NOT_SCORED:
            continue
        line = {
            "audio_filepath": each.id,
            "duration": each.audio_s,
            "time": computed_s(each) / together[each.start_s, each.end_s],
            "text": each.reference,
            "pred_text": each.hypothesis or "",
        }
        yield json.dumps(line, ensure_ascii=False, allow_nan=False)


def names(groups: list[Group]) -> list[str]:
    """`MODEL_owner-model_DATASET_path_name_split.jsonl`, no two alike."""
    short = [(_part(model_of(each)), _dataset(each)) for each in groups]
    taken, found = Counter[str](), []
    for (model, dataset), each in zip(short, groups, strict=True):
        if short.count((model, dataset)) > 1:
            model = "-".join(part for part in (model, _part(settings_of_name(each))) if part)
        name = f"MODEL_{model}_DATASET_{dataset}"
        taken[name] += 1
        found.append(f"{name}{f'.{taken[name]}' if taken[name] > 1 else ''}.jsonl")
    return found


def _dataset(row_group: Group) -> str:
    """As its scripts call it. What is not the whole, clean set is called otherwise in the middle of the name, where no column of
    its tables is looked for."""
    known, folder = dataset_of(row_group), str(row_group.corpus).rstrip("/").rpartition("/")[2]
    path, name, split = known.id, known.config or "", known.split or "test"
    if known.id == "openslr/librispeech_asr" and folder in _SETS:
        path, name, split = "hf-audio/open-asr-leaderboard", "librispeech", _SETS[folder]
    variant = _part(variant_of(row_group))
    if variant and not name:
        path = f"{path}-{variant}"
    elif variant:
        name = f"{name}-{variant}"
    return f"{_part(path)}_{_part(name)}_{_part(split)}"


def _part(text: str) -> str:
    """Letters that a file's name may have, without the two words that part it."""
    kept = re.sub(r"[^\w.+-]+", "-", text, flags=re.ASCII).strip("-.")
    return re.sub(r"(MODEL|DATASET)_", r"\1-", kept)
