"""Contextual biasing for beam search: phrases that are worth a bonus, matched token by token (Aho–Corasick).

The rule is sherpa-onnx's context graph: each matched token earns `score`, a mismatch gives back what an unfinished phrase
had earned, a finished phrase keeps it and the match starts again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

ROOT = 0


@dataclass(slots=True)
class _Node:
    score: float = 0.0
    """Bonus of the token that leads here."""
    node_score: float = 0.0
    """Bonus earned from the root to here."""
    output_score: float = 0.0
    is_end: bool = False
    next: dict[int, int] = field(default_factory=dict)
    """Token → node."""
    fail: int = ROOT
    """The longest other beginning of a phrase that ends here."""
    output: int = ROOT
    """The longest phrase that ends within this one's; the root: none."""


class ContextGraph:
    """A graph over token sequences, none of them empty.

    Its nodes are numbered, alike for the same phrases: a stream's place in it is a value.
    """

    def __init__(
        self, phrases: Sequence[Sequence[int]], score: float = 1.5, scores: Sequence[float | None] = ()
    ) -> None:
        """`scores`: a phrase's own bonus per token, None for `score`; of phrases that begin alike the higher one counts."""
        self._nodes = [_Node()]
        own = [*scores, *[None] * (len(phrases) - len(scores))]
        for phrase, own_score in zip(phrases, own, strict=True):
            self._add(phrase, score if own_score is None else own_score)
        self._fill()

    def _add(self, phrase: Sequence[int], score: float) -> None:
        node = self._nodes[ROOT]
        for token in phrase:
            if token not in node.next:
                node.next[token] = len(self._nodes)
                self._nodes.append(_Node(score=score, node_score=node.node_score + score))
            before, node = node, self._nodes[node.next[token]]
            node.score = max(node.score, score)
            node.node_score = before.node_score + node.score
            node.output_score = node.node_score if node.is_end else 0.0
        node.is_end = True
        node.output_score = node.node_score

    def _fill(self) -> None:
        nodes = self._nodes
        queue = deque(nodes[ROOT].next.values())
        while queue:
            current = nodes[queue.popleft()]
            for token, number in current.next.items():
                node = nodes[number]
                node.fail = output = self._fall(current.fail, token)
                while output != ROOT and not nodes[output].is_end:
                    output = nodes[output].fail
                node.output = output
                node.output_score += nodes[output].output_score
                queue.append(number)

    def _fall(self, number: int, token: int) -> int:
        """The longest beginning of a phrase that ends with the token, at `number` or where that fails to."""
        nodes = self._nodes
        while token not in nodes[number].next and number != ROOT:
            number = nodes[number].fail
        return nodes[number].next.get(token, ROOT)

    def forward(self, state: int, token: int) -> tuple[float, int]:
        """(bonus of the token, next state); the first state is `ROOT`."""
        nodes = self._nodes
        before = nodes[state]
        if token in before.next:
            number = before.next[token]
            score = nodes[number].score
        else:
            number = self._fall(before.fail, token)
            score = nodes[number].node_score - before.node_score
        node = nodes[number]
        if node.output_score == 0.0:
            return score, number
        finished = node if node.is_end or node.output == ROOT else nodes[node.output]
        return score + finished.node_score - node.node_score, ROOT
