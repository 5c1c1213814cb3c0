"""`wattscribe completion SHELL`: a script by which a shell completes verbs, options and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cyclopts

from wattscribe.cli.output import Json, Quiet, document

SCHEMA = 1
app = cyclopts.App(name="wattscribe completion", help="Print a script that completes commands in bash, zsh or fish.")
Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The script for one shell."""

    shell: Shell
    script: str


@app.default
def completion(
    shell: Shell,
    /,
    *,
    json_output: Json = False,
    quiet: Quiet = False,  # the script is the result
) -> None:
    """Write the script where the shell looks for it; made anew after an update, it knows the new options.

    bash: wattscribe completion bash > ~/.local/share/bash-completion/completions/wattscribe

    zsh: wattscribe completion zsh > DIRECTORY/_wattscribe, of a DIRECTORY in $fpath

    fish: wattscribe completion fish > ~/.config/fish/completions/wattscribe.fish

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from wattscribe.cli import VERBS, app_of

    root = cyclopts.App(name="wattscribe", help="What every transcribed second costs.")
    for verb in VERBS:
        root.command(app_of(verb), name=verb)
    script = root.generate_completion(prog_name="wattscribe", shell=shell)
    print(document(SCHEMA, Completion(shell=shell, script=script)) if json_output else script)
