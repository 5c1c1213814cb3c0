"""Contextual biasing for beam search: phrases that are worth a bonus, matched token by token (Aho–Corasick).

The rule is sherpa-onnx's context graph: each matched token earns `score`, a mismatch gives back what an unfinished phrase
had earned, a finished phrase keeps it and the match starts again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class ContextState:
    """One node of the graph."""

    score: float = 0.0
    """Bonus of the token that leads here."""
    node_score: float = 0.0
    """Bonus earned from the root to here."""
    output_score: float = 0.0
    is_end: bool = False
    next: dict[int, ContextState] = field(default_factory=dict)
    fail: ContextState | None = None
    output: ContextState | None = None


class ContextGraph:
    """A graph over token sequences."""

    def __init__(self, phrases: Sequence[Sequence[int]], score: float = 1.5) -> None:
        self.root = ContextState()
        self.root.fail = self.root
        for phrase in phrases:
            self._add(phrase, score)
        self._fill()

    def _add(self, phrase: Sequence[int], score: float) -> None:
        node = self.root
        for token in phrase:
            if token not in node.next:
                node.next[token] = ContextState(score=score, node_score=node.node_score + score)
            node = node.next[token]
        node.is_end = True
        node.output_score = node.node_score

    def _fill(self) -> None:
        queue: deque[ContextState] = deque()
        for node in self.root.next.values():
            node.fail = self.root
            queue.append(node)
        while queue:
            current = queue.popleft()
            for token, node in current.next.items():
                fail = current.fail or self.root
                while token not in fail.next and fail is not self.root:
                    fail = fail.fail or self.root
                node.fail = fail.next.get(token, self.root)
                output: ContextState | None = node.fail
                while output is not None and not output.is_end:
                    output = None if output is self.root else output.fail
                node.output = output
                node.output_score += 0.0 if output is None else output.output_score
                queue.append(node)

    def forward(self, state: ContextState, token: int) -> tuple[float, ContextState]:
        """(bonus of the token, next state)."""
        if token in state.next:
            node = state.next[token]
            score = node.score
        else:
            fail = state.fail or self.root
            while token not in fail.next and fail is not self.root:
                fail = fail.fail or self.root
            node = fail.next.get(token, self.root)
            score = node.node_score - state.node_score
        if node.output_score == 0.0:
            return score, node
        final = node.node_score if node.is_end else (node.output.node_score if node.output else node.node_score)
        return score + final - node.node_score, self.root
