"""Where speech comes from, and what is done to it before it is transcribed."""

from wattscribe.corpora.audio import read_audio
from wattscribe.corpora.base import Audio, Corpus
from wattscribe.corpora.conditions import conditioned
from wattscribe.corpora.open import open_corpus

__all__ = ["Audio", "Corpus", "conditioned", "open_corpus", "read_audio"]
