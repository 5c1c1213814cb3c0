"""How boards are reached: by SSH through Dask's own class, by TLS through Dask's own configuration, and by nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wattscribe
from tests.runs.conftest import write_corpus
from wattscribe.errors import InputError
from wattscribe.journal import read_run

asyncssh = pytest.importorskip("asyncssh", reason="the extra `fleet` is not installed")


def experiment_of(folder: Path) -> dict[str, Any]:
    """One trial of half a second."""
    corpus = write_corpus(folder / "corpus", utterances=3)
    return {"models": [f"fake:a?corpus={corpus}&wer=0.3"], "data": [str(corpus)], "idle_s": 0.0}


async def _serve(process: Any) -> None:
    """Run what is asked for, as a login would; what it started ends with it."""
    child = subprocess.Popen(
        process.command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        await process.redirect(stdout=child.stdout, stderr=child.stderr)
        process.exit(await asyncio.get_running_loop().run_in_executor(None, child.wait))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture
def ssh_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """An SSH server of this machine that lets one key in; yields the options that reach it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in ("host", "user")}
    for name, key in keys.items():
        key.write_private_key(str(tmp_path / name))
        key.write_public_key(str(tmp_path / f"{name}.pub"))
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), list[int]()

    async def listen() -> Any:
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[keys["host"]], authorized_client_keys=str(tmp_path / "user.pub"),
            process_factory=_serve,
        )  # fmt: skip
        ports.append(server.get_port())
        ready.set()
        return server

    thread = threading.Thread(target=lambda: (loop.create_task(listen()), loop.run_forever()), daemon=True)
    thread.start()
    assert ready.wait(20)
    hosts = tmp_path / "known_hosts"
    hosts.write_text(f"[127.0.0.1]:{ports[0]} {(tmp_path / 'host.pub').read_text()}", encoding="utf-8")
    yield {"port": ports[0], "username": "somebody", "client_keys": [str(tmp_path / "user")], "known_hosts": str(hosts)}
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def boards(path: Path, ssh: dict[str, Any], label: str = "far") -> Path:
    options = "\n".join(f"{key} = {value!r}" for key, value in ssh.items())
    table = f'[[boards]]\nlabel = "{label}"\nhost = "127.0.0.1"\npython = "{sys.executable}"\n[boards.ssh]\n{options}\n'
    path.write_text(table, encoding="utf-8")
    return path


def test_a_board_by_ssh(ssh_server: dict[str, Any], tmp_path: Path) -> None:
    """Its run is kept on the board, and its journal handed over as it is; nothing is left running there."""
    hosts = boards(tmp_path / "boards.toml", ssh_server)
    said: list[str] = []
    ended = wattscribe.fleet(experiment_of(tmp_path), tmp_path / "f", hosts=hosts, say=said.append)
    assert ended.errors == (), said
    run = read_run(tmp_path / "f" / "far")
    assert [trial.status for trial in run.trials] == ["done"]
    kept = list((tmp_path / "data").glob("wattscribe/fleet/*/far/journal.sqlite"))
    assert len(kept) == 1
    assert read_run(kept[0].parent) == run
    assert not list(kept[0].parent.glob("journal.copy*"))
    assert "Start worker" in (tmp_path / "f" / "far.log").read_text(encoding="utf-8") or said


def test_a_board_that_cannot_be_reached_is_said_and_waited_for_so_long(
    ssh_server: dict[str, Any], tmp_path: Path
) -> None:
    strange = {**ssh_server, "client_keys": [str(tmp_path / "host")]}
    said: list[str] = []
    hosts = boards(tmp_path / "boards.toml", strange)
    ended = wattscribe.fleet(experiment_of(tmp_path), tmp_path / "f", hosts=hosts, patience_s=3.0, say=said.append)
    assert ended.errors == ("far: no board for 3 s; continue with `resume`",)
    assert any(line.startswith("far: it cannot be started: ") for line in said)


def test_nothing_listens_but_on_loopback(tmp_path: Path) -> None:
    """Of this process and the worker's: whoever could reach them could run code here."""
    psutil = pytest.importorskip("psutil")
    hosts = tmp_path / "boards.toml"
    hosts.write_text('[[boards]]\nlabel = "one"\n', encoding="utf-8")
    found: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    found.update(c.laddr.ip for c in process.net_connections("inet") if c.status == "LISTEN")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        ended = wattscribe.fleet(experiment_of(tmp_path), tmp_path / "f", hosts=hosts)
    finally:
        over.set()
        thread.join()
    assert ended.errors == ()
    assert found == {"127.0.0.1"}


def certificate(folder: Path) -> dict[str, str]:
    """One key for all, signed by itself, as Dask's own configuration names it."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "fleet")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"key": str(folder / "key.pem"), "cert": str(folder / "cert.pem")}


def test_tls_as_dask_is_configured(tmp_path: Path) -> None:
    import dask

    pair = certificate(tmp_path)
    names = {f"distributed.comm.tls.{role}": pair for role in ("client", "scheduler", "worker")}
    settings = {**names, "distributed.comm.tls.ca-file": pair["cert"], "distributed.comm.require-encryption": True}
    hosts = tmp_path / "boards.toml"
    hosts.write_text('[[boards]]\nlabel = "one"\n', encoding="utf-8")
    with dask.config.set(settings):
        ended = wattscribe.fleet(experiment_of(tmp_path), tmp_path / "f", hosts=hosts)
    assert ended.errors == ()
    assert "tls://" in (tmp_path / "f" / "one.log").read_text(encoding="utf-8")


def test_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        wattscribe.fleet(experiment_of(tmp_path), tmp_path / "f", scheduler=address)
    assert not (tmp_path / "f" / "fleet.json").exists()
