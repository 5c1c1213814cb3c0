"""One comment on a pull request, written at first and brought up to date later. Run by action.yml, with nothing but Python.

Takes from the environment what GitHub sets (GITHUB_API_URL, GITHUB_REPOSITORY) and what the action adds: GITHUB_TOKEN,
PULL_REQUEST (a number), TITLE, REPORT (a Markdown file). A comment that cannot be written is a warning: the job's summary has
the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

LONGEST = 65_000
"""GitHub takes 65,536 characters."""
PAGES = 50
"""Of a hundred comments each."""


def body(title: str, report: str) -> str:
    """The comment. Its first line, which is not shown, finds it again: one per title."""
    text = f"{marker(title)}\n### {_text(title)}\n\n{report}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n\n… the job's summary has the rest."


def marker(title: str) -> str:
    return f"<!-- wattscribe compare: {re.sub(r'[^A-Za-z0-9 ._]+', '_', title)} -->"


def _text(title: str) -> str:
    return re.sub(r"[^\w .,:()+-]+", "_", title)


def ask(method: str, path: str, value: dict[str, str] | None = None) -> Any:
    """A call of GitHub's API. Raises OSError for a refusal (HTTPError is one), ValueError for what is no JSON."""
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        method=method,
        data=None if value is None else json.dumps(value).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def earlier(number: int, first: str) -> int | None:
    """The id of the comment that this action wrote before: a bot's, whose first line is ours."""
    for page in range(1, PAGES + 1):
        comments = ask("GET", f"issues/{number}/comments?per_page=100&page={page}")
        for comment in comments:
            if comment["user"]["type"] == "Bot" and comment["body"].startswith(first):
                return int(comment["id"])
        if len(comments) < 100:
            return None
    return None


def main() -> int:
    title, number = os.environ["TITLE"], int(os.environ["PULL_REQUEST"])
    text = {"body": body(title, Path(os.environ["REPORT"]).read_text(encoding="utf-8"))}
    try:
        known = earlier(number, marker(title))
        if known is None:
            ask("POST", f"issues/{number}/comments", text)
        else:
            ask("PATCH", f"issues/comments/{known}", text)
    except (OSError, ValueError) as error:
        denied = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404)
        hint = ". The job needs the permission pull-requests: write; one of a fork has it not" if denied else ""
        said = f"the comment is not written: {error}{hint}".replace("%", "%25").replace("\r", " ").replace("\n", " ")
        print(f"::warning::{said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
