"""Power modes on a machine of files and programs: set, read back, refused, restored, also after a kill."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs.machines import POLICY, SLOW, Machine
from wattscribe.errors import InputError
from wattscribe.journal import read_run
from wattscribe.runs.experiment import Experiment, ModeEntry, check
from wattscribe.runs.plan import plan
from wattscribe.runs.power_modes import ModeError, Session, held, recover
from wattscribe.runs.progress import Silent
from wattscribe.runs.runner import run

MAX = f"{POLICY}/scaling_max_freq"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Machine(folder)
    monkeypatch.setenv("PATH", made.path)
    return made


def quiet(_: str) -> None:
    pass


def mode(**keys: Any) -> Any:
    return ModeEntry.model_validate(keys).mode()


# --- one after the other ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        (
            {"governor": "powersave"},
            {f"{POLICY}/scaling_governor": "powersave", f"{SLOW}/scaling_governor": "powersave"},
        ),
        ({"max_mhz": 1000}, {MAX: "1000000", f"{SLOW}/scaling_max_freq": "1000000"}),
        ({"max_mhz": 1500}, {MAX: "1500000"}),  # the slower cores keep their own highest clock
        ({"nvpmodel": 2}, {"nvpmodel-id": "2"}),
        ({"nvpmodel": "maxn_super"}, {"nvpmodel-id": "2"}),
        ({"gpu_power_limit_w": 150}, {"gpu-limit": "150.00"}),
        ({"jetson_clocks": True}, {f"{POLICY}/scaling_min_freq": "2000000", f"{SLOW}/scaling_min_freq": "1100000"}),
    ],
)
def test_a_mode_is_set_and_everything_set_back(machine: Machine, keys: dict[str, Any], changes: dict[str, str]) -> None:
    before = machine.shown()
    wanted = mode(**keys)
    with held(machine.host, [wanted], quiet) as session:
        assert machine.shown() == before, "tried, and set back until the first trial"
        assert session.enter(wanted) is True
        assert machine.shown() == {**before, **changes}
        assert machine.kept.is_file(), "how it was is on the disk while something is set"
        assert session.enter(wanted) is False
        assert session.differs(wanted) is None
        session.enter(None)
        assert machine.shown() == before
        session.enter(wanted)
    assert machine.shown() == before
    assert not machine.kept.exists()


def test_what_one_mode_leaves_out_is_as_it_was_found(machine: Machine) -> None:
    slow, low = mode(governor="powersave"), mode(max_mhz=900)
    before = machine.shown()
    with held(machine.host, [slow, low], quiet) as session:
        session.enter(slow)
        session.enter(low)
        assert machine.read(f"{POLICY}/scaling_governor") == "schedutil"
        assert machine.read(MAX) == "900000"
    assert machine.shown() == before


def test_a_lowest_clock_in_the_way_is_lowered_and_put_back(machine: Machine) -> None:
    machine.write(f"{POLICY}/scaling_min_freq", "1800000")
    before = machine.shown()
    with held(machine.host, [mode(max_mhz=1000)], quiet) as session:
        session.enter(mode(max_mhz=1000))
        assert machine.read(f"{POLICY}/scaling_min_freq") == "1000000"
    assert machine.shown() == before


def test_any_pair_of_programs(machine: Machine) -> None:
    file = machine.folder / "state"
    file.write_text("normal\n")
    wanted = mode(
        name="eco",
        set=["sh", "-c", f"echo eco > {file}"],
        restore=f"sh -c 'echo normal > {file}'",
        read=f"cat {file}",
        expect="eco",
    )
    with held(machine.host, [wanted], quiet) as session:
        session.enter(wanted)
        assert file.read_text() == "eco\n"
    assert file.read_text() == "normal\n"
    file.write_text("eco\n")
    with pytest.raises(ModeError, match="already prints 'eco'"), held(machine.host, [wanted], quiet):
        pass


# --- refused ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"governor": "fast"}, "there is no governor 'fast'.*One of: performance, powersave, schedutil"),
        ({"max_mhz": 100}, "cannot be held to 100 MHz.*lowest clock is 300 MHz"),
        ({"nvpmodel": 1}, "changes to mode 1 only with a reboot.*sudo nvpmodel -m 1"),
        ({"nvpmodel": "50W"}, "no power mode '50W'.*0 15W, 1 7W, 2 MAXN_SUPER"),
        ({"gpu_power_limit_w": 500}, "cannot be limited to 500 W.*Give 100.00 to 350.00 W"),
    ],
)
def test_what_cannot_be_set_is_said_before_anything_is_measured(
    machine: Machine, experiment: Callable[..., Experiment], tmp_path: Path, keys: dict[str, Any], words: str
) -> None:
    before, out = machine.shown(), tmp_path / "out"
    with pytest.raises(InputError, match=words):
        run(experiment(modes=[{"name": "as found"}, keys]), out, meters=[], host=machine.host)
    assert not out.exists()
    assert machine.shown() == before
    assert not machine.kept.exists()
    assert not (machine.folder / "rebooted").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"nvpmodel": 2}, "mode 2 was not set .exit status 0.: NVPM ERROR: failed to set power mode!"),
        ({"gpu_power_limit_w": 150}, "exit status 4: .*Insufficient Permissions.*root"),
        ({"governor": "powersave"}, "scaling_governor: .*may not write it.*root"),
        ({"max_mhz": 1000}, "scaling_max_freq: .*may not write it.*root"),
    ],
)
def test_without_the_rights_it_says_who_has_them(machine: Machine, keys: dict[str, Any], words: str) -> None:
    (machine.folder / "not-root").touch()
    machine.files.forbidden = ("scaling_governor", "_freq")
    before = machine.shown()
    with pytest.raises(ModeError, match=words), held(machine.host, [mode(**keys)], quiet):
        pass
    assert machine.shown() == before
    assert not machine.kept.exists()


def test_a_program_that_is_not_there(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModeError, match="nvpmodel: this program is not installed"):
        Session(machine.host, [mode(nvpmodel=0)]).open()
    for file in (machine.root / "sys").rglob("*"):
        if file.is_file():
            file.unlink()
    for policy in (POLICY, SLOW):
        (machine.root / policy).rmdir()
    with pytest.raises(ModeError, match="no cpufreq"):
        Session(machine.host, [mode(governor="powersave")]).open()


def test_a_mode_that_resets_itself_at_once_is_refused(machine: Machine) -> None:
    machine.files.resets = {f"{POLICY}/scaling_max_freq": 0}
    words = r"does not hold: .*scaling_max_freq reads 2000000, not 1000000"
    with pytest.raises(ModeError, match=words), held(machine.host, [mode(name="slow", max_mhz=1000)], quiet):
        pass


def test_a_mode_that_resets_itself_during_a_trial_spoils_that_trial_alone(
    machine: Machine, experiment: Callable[..., Experiment], tmp_path: Path
) -> None:

    class Firmware(Silent):
        """Resets the clock in the middle of the first trial of the mode."""

        resets = 1

        def transcribed(self, audio_s: float) -> None:
            if machine.read(MAX) == "1000000" and self.resets:
                self.resets -= 1
                machine.write(MAX, "2000000")

    modes = [{"name": "slow", "max_mhz": 1000}, {"name": "as found"}]
    plan_ = experiment(modes=modes, repeats=2)
    facts = read_run(run(plan_, tmp_path / "out", meters=[], host=machine.host, watcher=Firmware()))
    slow = [trial for trial in facts.trials if trial.trial.mode and trial.trial.mode.name == "slow"]
    assert [trial.status for trial in facts.trials if trial not in slow] == ["done", "done"]
    assert sorted(trial.status for trial in slow) == ["done", "failed"], "set anew for the next one"
    (spoilt,) = (trial for trial in slow if trial.status == "failed")
    assert "did not hold until the end: sys/devices" in (spoilt.reason or "")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"set": "x"}, "belong together"),
        ({}, "sets nothing"),
        ({"governer": "powersave"}, "there is no key 'modes.0.governer', did you mean governor"),
        ({"max_mhz": -1}, "max_mhz"),
    ],
)
def test_a_table_that_cannot_be(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check({"models": ["fake:a"], "data": ["bundled"], "modes": [keys]})
    with pytest.raises(InputError, match="two modes are called 'a'"):
        check({"models": ["fake:a"], "data": ["bundled"], "modes": [{"name": "a"}, {"name": "a", "threads": 2}]})


# --- killed ----------------------------------------------------------------------------------------------------------
HOLDS = """
import sys, time
from pathlib import Path
from tests.runs.machines import Files
from wattscribe.metering import Host
from wattscribe.metering.host import SystemCommands
from wattscribe.runs.experiment import ModeEntry
from wattscribe.runs.power_modes import Session
host = Host(files=Files(Path(sys.argv[1])), commands=SystemCommands())
mode = ModeEntry(governor="powersave", max_mhz=1000, nvpmodel=2).mode()
session = Session(host, [mode])
session.open()
session.enter(mode)
print("set", flush=True)
time.sleep(600)
"""


def killed_holder(machine: Machine) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(machine.root)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "set\n"
    assert machine.read(MAX) == "1000000"
    recover(machine.host, pytest.fail)  # it lives: nothing is touched
    assert machine.read(MAX) == "1000000"
    with pytest.raises(ModeError, match="another run has set the power mode"):
        Session(machine.host, [mode(governor="performance")]).open()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()


def test_after_kill_9_the_next_start_sets_everything_back(
    machine: Machine, experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    before = machine.shown()
    killed_holder(machine)
    assert machine.shown() != before
    run(experiment(limit=1), tmp_path / "out", meters=[], host=machine.host)  # any start, also one without modes
    assert machine.shown() == before
    assert not machine.kept.exists()


def test_after_a_reboot_only_what_survives_one_is_set_back(machine: Machine) -> None:
    killed_holder(machine)
    kept = json.loads(machine.kept.read_text())
    machine.kept.write_text(json.dumps({**kept, "boot_id": "another"}))
    said: list[str] = []
    recover(machine.host, said.append)
    assert said == ["the power mode that a killed run had left is set back: nvpmodel"]
    assert machine.shown()["nvpmodel-id"] == "0"
    assert machine.read(MAX) == "1000000", "what the new uptime shows is its own"


def test_what_cannot_be_set_back_stops_the_next_start_and_stays_noted(machine: Machine) -> None:
    killed_holder(machine)
    machine.files.forbidden = ("scaling_governor",)
    with pytest.raises(InputError, match=r"cannot be set back: governor: .*may not write it"):
        recover(machine.host, quiet)
    assert machine.read(MAX) == "2000000", "what can be is"
    machine.files.forbidden = ()
    recover(machine.host, quiet)
    assert machine.read(f"{POLICY}/scaling_governor") == "schedutil"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": 1, "boot_id": null, "states": 3}'])
def test_a_damaged_note_is_an_error_that_names_it(machine: Machine, text: str) -> None:
    machine.kept.parent.mkdir(parents=True)
    machine.kept.write_text(text)
    with pytest.raises(InputError, match=r"power-mode\.json: this file.*cannot be read"):
        recover(machine.host, quiet)
    assert machine.kept.read_text() == text


# --- the axis --------------------------------------------------------------------------------------------------------
def test_the_plan_keeps_the_trials_of_a_mode_together() -> None:
    modes = [{"threads": 1}, {"threads": 2}, {"name": "as found"}]
    keys = {"models": ["fake:a", "fake:b"], "data": ["bundled"], "noise": ["white"], "snr": [5], "repeats": 2}
    trials = plan(check({**keys, "modes": modes, "threads": 3}))
    assert len(trials) == len({trial.id for trial in trials}) == 24
    names = [trial.mode.name for trial in trials if trial.mode]
    assert sum(a != b for a, b in itertools.pairwise(names)) <= 5, "each repeat changes mode twice"
    threads = {trial.mode.name: trial.recognizer.threads for trial in trials if trial.mode}
    assert threads == {"1 thread": 1, "2 threads": 2, "as found": 3}
    assert all(trial.mode is None for trial in plan(check(keys)))
