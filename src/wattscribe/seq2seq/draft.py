"""Draft and verify: a cheaper model says what may come next, and the one that is asked takes or leaves it.

The text is that of the one that is asked, greedily: `search.verified` chooses every token by its scores. What is saved is runs of
its decoder, each of which reads all of its weights once, whatever number of tokens it is fed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wattscribe.seq2seq.network_io import Rewindable
from wattscribe.seq2seq.search import Rules, Work, count_run

TOKENS = 4
"""Of one draft at most. Drafts that are left cost the cheaper model's runs, and rows of the other."""


class Draft:
    """One window, heard by the cheaper model; `places`: tokens that fit into its caches."""

    def __init__(self, encoded: Rewindable, prompt: Sequence[int], rules: Rules, *, places: int, most: int) -> None:
        self._encoded, self._rules, self._places, self._most = encoded, rules, places, most
        self._prompt = list(prompt)
        self._fed: list[int] = []
        self.frames = encoded.frames
        self.work = Work()

    def offer(self, said: Sequence[int], room: int) -> list[int]:
        """What comes behind these tokens, until the end or `room`, without the ending token."""
        behind = [*self._prompt, *said]
        known = 0
        while known < min(len(self._fed), len(behind) - 1) and self._fed[known] == behind[known]:
            known += 1
        self._encoded.back(len(self._fed) - known)
        del self._fed[known:]
        feed, offered = behind[known:], list[int]()
        while len(offered) < min(room, self._most, self._places - len(behind)):
            tokens = np.array([feed], np.int64)
            count_run(tokens, [self.work])
            scores = self._rules.apply(self._encoded.step(tokens), first=not said and not offered)
            self._fed += feed
            token = int(scores.argmax())
            if token == self._rules.end:
                break
            offered.append(token)
            feed = [token]
        return offered
