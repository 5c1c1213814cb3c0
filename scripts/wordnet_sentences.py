"""The example sentences of WordNet, one or a few a line, as more text for training to speak: many words, each in use.

    apt-get install wordnet-base
    python scripts/wordnet_sentences.py > ~/.cache/wattscribe/text/wordnet.txt

WordNet's licence allows any use (https://wordnet.princeton.edu/license-and-commercial-use).
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
SHORTEST_WORDS = 8
"""Shorter examples are joined up: utterances of two words teach little and cost padding."""


def examples(folder: Path) -> Iterator[str]:
    """Every quoted example of a WordNet database (`data.noun`, `data.verb`, `data.adj`, `data.adv`)."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8", errors="ignore").splitlines():
            if not line.startswith("  "):  # the licence stands at the head, indented
                yield from (found.strip() for found in re.findall(r'"([^"]+)"', line.partition("|")[2]))


def joined(sentences: Iterable[str]) -> Iterator[str]:
    """The sentences in random order, short ones joined to lines of at least SHORTEST_WORDS."""
    order = sorted(set(sentences))
    random.Random(0).shuffle(order)
    line: list[str] = []
    for sentence in order:
        line += sentence.split()
        if len(line) >= SHORTEST_WORDS:
            yield " ".join(line)
            line = []


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    if not (folder / "data.noun").is_file():
        sys.exit(f"{folder} holds no WordNet database: install it (apt-get install wordnet-base) or name its folder")
    for text in joined(examples(folder)):
        print(text)
