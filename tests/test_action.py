"""action.yml, run step by step as GitHub's runner does, against a GitHub of our own: exit codes, comment, nothing injected."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import blocks
from tests.stored_runs import CLEAN, MODELS, made_up_run, store_run

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra hf")
ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


# --- a runner and a GitHub ------------------------------------------------------------------------------------------------
@dataclass
class GitHub:
    """Comments of one pull request, and every call that was made."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    refuse: int = 0
    address: str = ""


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            state.calls.append((self.command, self.path))
            assert self.headers["Authorization"] == "Bearer secret"
            length = int(self.headers["Content-Length"] or 0)
            given: dict[str, str] = json.loads(self.rfile.read(length)) if length else {}
            if state.refuse:
                self.send_error(state.refuse)
                return
            answer: Any
            if self.command == "GET":
                page = int(re.findall(r"[?&]page=(\d+)", self.path)[0])
                answer = state.comments[100 * (page - 1) : 100 * page]
            elif self.command == "POST":
                answer = {"id": 1000 + len(state.comments), "user": {"type": "Bot"}, "body": given["body"]}
                state.comments.append(answer)
            else:
                (answer,) = [each for each in state.comments if str(each["id"]) == self.path.rsplit("/", 1)[1]]
                answer["body"] = given["body"]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = _serve

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@dataclass
class Done:
    status: int
    outputs: dict[str, str]
    summary: str
    log: str


def value_of(expression: str, context: dict[str, str]) -> str:
    """The few expressions that the action uses: a name; comparisons with a text, joined by &&."""
    if "&&" in expression or "==" in expression or "!=" in expression:
        held = True
        for part in expression.split("&&"):
            name, sign, text = part.strip().split(" ", 2)
            held &= (context.get(name, "") == text.strip("'")) == (sign == "==")
        return "true" if held else "false"
    return context.get(expression, "")


def expanded(text: str, context: dict[str, str]) -> str:
    return EXPRESSION.sub(lambda match: value_of(match[1], context), text)


def carried_out(folder: Path, github: GitHub, *, number: str = "7", command: str = "", **inputs: str) -> Done:
    """All steps, as a composite action has them: `bash --noprofile --norc -eo pipefail`, until one fails."""
    given = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
    given |= {"package": "none", "token": "secret", **{name.replace("_", "-"): text for name, text in inputs.items()}}
    context = {f"inputs.{name}": text for name, text in given.items()} | {"github.event.pull_request.number": number}
    summary, log = folder / "summary.md", ""
    summary.touch()
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    script = command or f'#!/bin/sh\nexec "{sys.executable}" -m wattscribe "$@"\n'
    (bin_folder / "wattscribe").write_text(script, encoding="utf-8")
    (bin_folder / "wattscribe").chmod(0o755)
    for place, step in enumerate(STEPS):
        if "if" in step and value_of(EXPRESSION.fullmatch(step["if"])[1], context) != "true":  # type: ignore[index]
            continue
        output = folder / f"output-{place}"
        output.touch()
        environment = {
            "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src"),
            "HOME": str(folder), "RUNNER_TEMP": str(folder), "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_API_URL": github.address, "GITHUB_REPOSITORY": "someone/speech",
            **{name: expanded(str(text), context) for name, text in step.get("env", {}).items()},
        }  # fmt: skip
        path = folder / f"step-{place}.sh"
        path.write_text(step["run"], encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(path)],
            cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        log += done.stdout + done.stderr
        if "id" in step:
            pairs = (line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())
            context |= {f"steps.{step['id']}.outputs.{name}": text for name, text in pairs}
        if done.returncode != 0:
            break
    outputs = {name: expanded(each["value"], context) for name, each in ACTION["outputs"].items()}
    return Done(status=done.returncode, outputs=outputs, summary=summary.read_text(encoding="utf-8"), log=log)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A run, and one of twice its errors."""
    folder = tmp_path_factory.mktemp("runs")
    good = made_up_run(models=MODELS[1:2], conditions=(CLEAN,), precisions=("fp32",), name="base")
    from dataclasses import replace

    bad_model = replace(MODELS[1], word_errors=0.4)
    bad = made_up_run(models=(bad_model,), conditions=(CLEAN,), precisions=("fp32",), name="new")
    return str(store_run(good, folder / "base")), str(store_run(bad, folder / "new"))


# --- what the action does ------------------------------------------------------------------------------------------------
def test_a_run_that_is_as_good_is_accepted_and_told(tmp_path: Path, github: GitHub, runs: tuple[str, str]) -> None:
    done = carried_out(tmp_path, github, base=runs[0], new=runs[0], max_wer_increase="5")
    assert done.status == 0, done.log
    assert (done.outputs["accepted"], done.outputs["exit-code"]) == ("true", "0")
    report = Path(done.outputs["report"]).read_text(encoding="utf-8")
    assert report.startswith("**base is accepted against base**")
    assert done.summary == report
    (comment,) = github.comments
    assert comment["body"].startswith("<!-- wattscribe compare: Wattscribe -->\n### Wattscribe\n")
    assert comment["body"].endswith(report)


def test_a_worse_run_is_refused_and_one_comment_is_brought_up_to_date(
    tmp_path: Path, github: GitHub, runs: tuple[str, str]
) -> None:
    marker = "<!-- wattscribe compare: Wattscribe -->"
    others = [{"id": n, "user": {"type": "User"}, "body": f"{marker} I am no bot"} for n in range(120)]
    github.comments.extend(others)
    first = carried_out(tmp_path, github, base=runs[0], new=runs[1])
    assert first.status == 1
    assert first.outputs["accepted"] == "false"
    assert len(github.comments) == 121
    again = carried_out(tmp_path, github, base=runs[0], new=runs[0], max_wer_increase="5")
    assert again.status == 0
    assert len(github.comments) == 121, "no second one"
    assert "is accepted against" in github.comments[-1]["body"]
    assert all("I am no bot" in each["body"] for each in github.comments[:120]), "those of people are left alone"
    other = carried_out(tmp_path, github, base=runs[0], new=runs[0], max_wer_increase="5", title="On the phone")
    assert other.status == 0
    assert len(github.comments) == 122, "another title, another comment"


def test_exit_codes_are_as_documented(tmp_path: Path, github: GitHub, runs: tuple[str, str]) -> None:
    tolerated = carried_out(tmp_path, github, base=runs[0], new=runs[1], fail_on_refusal="false")
    assert (tolerated.status, tolerated.outputs["accepted"], tolerated.outputs["exit-code"]) == (0, "false", "1")
    before = len(github.comments)
    for wrong in ({"new": "nowhere"}, {"new": runs[1], "max_wer_increase": "much"}):
        unread = carried_out(tmp_path, github, base=runs[0], fail_on_refusal="false", **wrong)
        assert unread.status == 2
        assert (unread.outputs["accepted"], unread.outputs["exit-code"]) == ("", "2")
        assert "wattscribe compare: " in unread.log
    assert len(github.comments) == before, "nothing was compared, so nothing is told"


def test_without_a_pull_request_or_leave_there_is_no_comment(
    tmp_path: Path, github: GitHub, runs: tuple[str, str]
) -> None:
    given = {"base": runs[0], "new": runs[0], "max_wer_increase": "5"}
    assert carried_out(tmp_path, github, number="", **given).status == 0
    assert carried_out(tmp_path, github, comment="false", **given).status == 0
    assert github.calls == []
    github.refuse = 403
    refused = carried_out(tmp_path, github, **given)
    assert refused.status == 0
    assert "::warning::the comment is not written" in refused.log
    assert "pull-requests: write" in refused.log
    assert "secret" not in refused.log


ATTACKS = (
    "$(touch pwned)",
    "`touch pwned`",
    "x; touch pwned #",
    "x\ntouch pwned",
    '" && touch pwned && "',
    "--out=pwned",
    "x\n::set-env name=PATH::pwned",
)


RECORDER = """#!/bin/sh
printf '%s\\0' "$@" > "$RUNNER_TEMP/arguments"
printf '%s\\n' "$@"
"""
"""In place of the command: what it was given, as it was given."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_input_is_ever_a_command(attack: str, tmp_path: Path, github: GitHub) -> None:
    names = [
        name
        for name in ACTION["inputs"]
        if name.startswith("max-") or name in ("base", "new", "metric", "device", "title")
    ]
    given = {name.replace("-", "_"): f"{attack} {name}" for name in names}
    done = carried_out(tmp_path, github, command=RECORDER, **given)
    assert done.status == 0, done.log
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8").split("\0")[:-1]
    assert arguments[:5] == ["compare", "--format", "md", "--metric", f"{attack} metric"]
    assert arguments[-3:] == ["--", f"{attack} base", f"{attack} new"]
    for name in names:
        if name.startswith("max-") or name == "device":
            assert arguments[arguments.index(f"--{name}") + 1] == f"{attack} {name}"
    assert not list(tmp_path.rglob("pwned"))
    heard, silent = [], ""
    for line in done.log.splitlines():
        if line.startswith("::stop-commands::"):
            silent = f"::{line.removeprefix('::stop-commands::')}::"
        elif line == silent:
            silent = ""
        elif line.startswith("::") and not silent:
            heard.append(line)
    assert heard == [], "the runner is given no command"
    assert all(each["body"].count("-->") == 1 for each in github.comments)


def test_names_in_a_run_are_text_in_the_comment(tmp_path: Path, github: GitHub) -> None:
    evil = "@someone <img src=x> [here](https://x.y) #1 | `a` <!-- -->"
    facts = made_up_run(models=MODELS[1:2], conditions=(CLEAN,), precisions=("fp32",), name=evil)
    path = str(store_run(facts, tmp_path / "run"))
    assert carried_out(tmp_path, github, base=path, new=path, max_wer_increase="5").status == 0
    (comment,) = github.comments
    for bad in ("@someone", "<img", "](https://", "#1", "<!-- -->"):
        assert bad not in comment["body"]


# --- what stands in the files ---------------------------------------------------------------------------------------------
def test_every_input_is_used_every_use_is_declared_and_no_script_holds_an_expression() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(ACTION["inputs"])
    for step in STEPS:
        assert "${{" not in step["run"], "what is expanded into a script can be a command: give it by `env`"
        assert step["shell"] == "bash"
    ids = {step["id"] for step in STEPS if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", text)) <= ids
    written = set(re.findall(r'echo "([a-z-]+)=', text))
    assert set(re.findall(r"outputs\.([a-z-]+)", text)) <= written


def test_the_action_has_every_limit_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    from wattscribe.cli import main

    assert main(["compare", "--help"]) == 0
    flags = set(re.findall(r"--([a-z-]+)", capsys.readouterr().out))
    limits = {flag for flag in flags if flag.startswith("max-")} | {"metric", "across-machines", "device"}
    assert limits <= set(ACTION["inputs"])


EXAMPLES = [block for block in blocks("docs/ci.md") if block.language == "yaml"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_an_example_is_a_workflow_that_uses_what_is_there(block: Any) -> None:
    workflow = yaml.safe_load(block.text)
    assert {"name", True, "permissions", "jobs"} <= workflow.keys(), "YAML 1.1 reads the key `on` as true"
    uses = 0
    for job in workflow["jobs"].values():
        assert {"runs-on", "steps", "timeout-minutes"} <= job.keys()
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert "${{" not in step.get("run", ""), "what is expanded into a script can be a command: give it by `env`"
            if step.get("uses", "").startswith("OWNER/wattscribe@"):
                uses += 1
                assert set(step.get("with", {})) <= set(ACTION["inputs"])
                required = {name for name, each in ACTION["inputs"].items() if each.get("required")}
                assert required <= set(step["with"])
            subprocess.run(["bash", "-n", "-c", step.get("run", "true")], check=True)
    assert uses or "wattscribe " in block.text
