"""What a folder's hdap.toml, its database and its checkpoints may not make a command do unasked."""

import contextlib
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.cli.app import COMMANDS
from hdap.cli.options.trust import reached
from hdap.examples.networks import small_vgg
from hdap.fleet_data.errors import InputError
from hdap.networks.factories import factories_by_leave_of, find_factory
from hdap.requests.setting import settings_of

Hdap = Callable[..., Result]
NETWORK = "open('ran', 'a').write('x')\ndef make():\n    raise ValueError('it ran')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of somebody else's, in a home where nothing was agreed to yet."""
    here = tmp_path / "folder"
    here.mkdir()
    (here / "theirnet.py").write_text(NETWORK)
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield here
    sys.modules.pop("theirnet", None)


def settings(folder: Path, text: str) -> None:
    (folder / "hdap.toml").write_text(text)


MODEL = '[model]\npretrained = false\n[simulate]\nmodel = ["theirnet:make"]\nout = "fleet"\n'


def test_code_that_a_folder_names_does_not_run_unasked(hdap: Hdap, folder: Path) -> None:
    settings(folder, MODEL)
    done = hdap("simulate")
    assert done.exit_code == 1
    assert "import and run theirnet:make (model)" in done.stderr
    assert "--trust (or set HDAP_TRUST=1), or give them on the command line" in done.stderr
    assert not (folder / "ran").exists()


def test_trust_is_remembered_for_the_file_as_it_is(hdap: Hdap, folder: Path) -> None:
    settings(folder, MODEL)
    trusted = hdap("simulate", "--trust")
    assert "it ran" in trusted.stderr
    assert "hdap.toml of this folder, trusted: import and run theirnet:make" in trusted.stderr
    assert "it ran" in hdap("simulate").stderr
    settings(folder, MODEL + "# changed\n")
    assert "a person must agree" in hdap("simulate").stderr
    (folder.parent / "config" / "hdap").rename(folder.parent / "gone")
    settings(folder, MODEL)
    assert "a person must agree" in hdap("simulate").stderr


def test_a_variable_trusts_without_being_remembered(
    hdap: Hdap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(folder, MODEL)
    monkeypatch.setenv("HDAP_TRUST", "1")
    assert "it ran" in hdap("simulate").stderr
    monkeypatch.delenv("HDAP_TRUST")
    assert "a person must agree" in hdap("simulate").stderr


def test_what_a_person_names_needs_no_more_words(hdap: Hdap, folder: Path) -> None:
    settings(folder, MODEL)
    assert "it ran" in hdap("simulate", "--model", "theirnet:make").stderr
    settings(folder, '[simulate]\nmodel = ["resnet18"]\nrows = 3\n')
    assert "a person must agree" not in hdap("--config", "hdap.toml", "devices").stderr
    settings(folder, MODEL)
    assert "it ran" in hdap("--config", "hdap.toml", "simulate").stderr


def test_a_server_and_a_file_elsewhere_are_not_reached_unasked(hdap: Hdap, folder: Path) -> None:
    settings(folder, 'db = "postgresql://me:secret@192.0.2.1/x"\n[report]\nout = "../page.html"\n')
    done = hdap("devices")
    assert "connect to postgresql://me:***@192.0.2.1/x (db)" in done.stderr
    assert "secret" not in done.output
    told = hdap("report", "--db", "x.db").stderr
    assert "use ../page.html, which lies outside of this folder (out)" in told
    assert "there is no database x.db" in hdap("devices", "--db", "x.db").stderr


def test_numbers_names_and_files_of_the_folder_need_no_trust(hdap: Hdap, folder: Path) -> None:
    settings(folder, 'db = "sub/fleet.db"\nseed = 3\n[search]\nmodel = "resnet18"\nflops = "50%"\n')
    for command in ("search", "devices"):
        told = hdap(command).stderr
        assert "a person must agree" not in told
        assert "sub/fleet.db" in told or "directory must exist" in told


@pytest.mark.parametrize(("answer", "expected"), [("y", "it ran"), ("n", "nothing was done")])
def test_on_a_terminal_a_person_is_asked(folder: Path, answer: str, expected: str) -> None:
    settings(folder, MODEL)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hdap", "simulate"], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.write(master, f"{answer}\n".encode())
    told = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        told += part
        if not part:
            break
    assert process.wait(30) == 1
    text = " ".join(told.decode().split())
    assert "import and run theirnet:make (model) Trust it? [y/N]" in text
    assert expected in text


def test_code_that_a_database_names_does_not_run_unasked(
    hdap: Hdap, folder: Path, searched: Path
) -> None:
    copy = folder / "hdap.db"
    copy.write_bytes(searched.read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as connection, connection:
        names = ('"resnet50"', '"theirnet:make"')
        connection.execute("UPDATE models SET architecture = replace(architecture, ?, ?)", names)
    number = hdap("sql", "SELECT min(number) AS n FROM best_trials", "--csv").stdout.split()[1]
    done = hdap("verify", "--trial", number, "--out", "check")
    assert "a database or a file, not you, makes `hdap verify` import and run" in done.stderr
    assert not (folder / "ran").exists()
    hdap("model", "theirnet:make")
    assert (folder / "ran").exists()
    assert "a database or a file" not in hdap("verify", "--trial", number, "--out", "check").stderr


def test_leave_is_asked_for_the_users_code_only() -> None:
    asked: list[str] = []

    def permit(name: str) -> None:
        asked.append(name)
        raise InputError("no leave")

    with factories_by_leave_of(permit):
        assert find_factory("hdap.examples.networks:small_vgg") is small_vgg
        with pytest.raises(InputError, match="no leave"):
            find_factory("os:getcwd")
    assert asked == ["os:getcwd"]
    assert find_factory("os:getcwd") is os.getcwd


def test_every_setting_that_can_name_code_says_so() -> None:
    leaves = [(words, leaf) for words, wanted in COMMANDS.items() for leaf in settings_of(wanted)]
    unsaid = [
        (words, leaf.name)
        for words, leaf in leaves
        if (leaf.name == "data" or "factory" in leaf.setting.help) and leaf.setting.reach != "code"
    ]
    assert unsaid == []
    servers = [leaf for _, leaf in leaves if leaf.name in ("db", "storage", "on")]
    assert all(list(reached(leaf, "grpc://192.0.2.1:1")) for leaf in servers)


@pytest.mark.parametrize("setting", ["loss", "metric"])
def test_a_loss_that_a_folder_names_does_not_run_unasked(
    hdap: Hdap, folder: Path, setting: str
) -> None:
    settings(folder, f'[finetune]\n{setting} = "theirnet:make"\n')
    done = hdap("finetune", "pruned", "--data", "images", "--out", "tuned")
    assert done.exit_code == 1
    assert f"import and run theirnet:make ({setting})" in done.stderr
    assert not (folder / "ran").exists()
