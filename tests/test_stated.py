"""README, docs and the stored results state one figure for one thing; and whoever lets them part is told where."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import stated
from benchmarks.stated import CARD, FIGURES, STREAMING, DisagreementError, Stated

LIVE = Stated(
    file="README.md", where=r"zipformer ([\d.]+) × live", result=STREAMING,
    key="result/speed/zipformer/ratio_to_sherpa/live", form="{:.2f}",
)  # fmt: skip


def test_every_stated_figure_equals_its_result() -> None:
    assert stated.differences(stated.everything(), {}) == []


def test_a_figure_that_parts_is_named_with_its_line_and_put_right() -> None:
    right = (stated.ROOT / "README.md").read_text(encoding="utf-8")
    figure = stated.place(LIVE, right)[1]
    texts = {"README.md": right.replace(f"zipformer {figure} × live", "zipformer 0.11 × live")}
    line = right.count("\n", 0, right.index(f"zipformer {figure} × live")) + 1
    (said,) = stated.differences([LIVE], texts)
    assert said.startswith(f"README.md:{line}: says 0.11, benchmarks/results/streaming.json")
    assert texts["README.md"] == right
    assert stated.differences([LIVE], texts) == []


def test_a_sentence_that_was_rewritten_is_no_silent_pass() -> None:
    (said,) = stated.differences([LIVE], {"README.md": "The zipformer is quick."})
    assert "is not found" in said


@pytest.mark.parametrize(
    ("result", "key", "value"),
    [
        (FIGURES, "reference/result, 1280 ms/of fp32", -90.9),
        (FIGURES, "reference/result, 1280 ms/of fp32 2", -68.8),
        (FIGURES, "reference/result, 640 ms/bound", 0.07),
        (FIGURES, "fronts/+0.3/3", -3.1),
        (FIGURES, "zipformer/=size, MB", "size, MB                        5.70        3.81"),
        (CARD, "Word error rates/LJSpeech/int8, greedy", 48.4),
    ],
)
def test_a_key_finds_its_place_in_a_table(
    result: str, key: str, value: float | str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a copy that does not change when a benchmark is run again."""
    for name, text in {FIGURES: TABLES, CARD: PAGE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(stated, "ROOT", tmp_path)
    assert stated._value(result, key) == value
    for wrong in ("reference/no such row/of fp32", "nowhere/result, 640 ms/bound", "zipformer/=no such line"):
        with pytest.raises(DisagreementError):
            stated._value(FIGURES, wrong)


def test_write_puts_every_file_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("README.md", STREAMING):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((stated.ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    figure = stated.place(LIVE, (tmp_path / "README.md").read_text(encoding="utf-8"))[1]
    wrong = (
        (tmp_path / "README.md")
        .read_text(encoding="utf-8")
        .replace(f"zipformer {figure} × live", "zipformer 9.99 × live")
    )
    (tmp_path / "README.md").write_text(wrong, encoding="utf-8")
    monkeypatch.setattr(stated, "ROOT", tmp_path)
    monkeypatch.setattr(stated, "everything", lambda: [LIVE])
    assert stated.main([]) == 1
    assert "says 9.99" in capsys.readouterr().out
    assert stated.main(["--write"]) == 0
    assert f"zipformer {figure} × live" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == "1 stated figures equal their results\n"


TABLES = """\
## zipformer
```
size, MB                        5.70        3.81
```
## reference
| model | energy | of fp32 | of int8 | bound | RTF | of fp32 | of int8 |
|---|---|---|---|---|---|---|---|
| result, 640 ms | 1.437 | −84.8 % | −45.2 % | +0.07 | 0.00392 | −62.6 % | −29.6 % |
| result, 1280 ms | 0.859 | −90.9 % | −67.2 % | +0.03 | 0.00327 | −68.8 % | −41.3 % |

## fronts
| front | points |
|---|---|
| targeted | +0.18: 0.893 / 2.650 |

| change of WER | targeted | uniform | | uniform, none | |
|---|---|---|---|---|---|
| +0.3 | 0.863 | 0.891 | −3.1 % | 2.641 | −67.3 % |
"""
PAGE = "## Word error rates\n| speech | int8, greedy |\n|---|---|\n| LJSpeech (human) | 48.4 % |\n"
