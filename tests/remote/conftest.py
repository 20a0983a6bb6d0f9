import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdap.remote.hosts import Host

pytest.importorskip("asyncssh")

from tests.remote.device_server import DeviceServer, device_server

ADB = """#!/bin/sh
# stands in for adb: the phone is a folder of this machine
[ "$1" = -s ] && shift 2
if [ -e "{home}/offline" ]; then echo "error: device offline" >&2; exit 1; fi
case "$1" in
  get-state) echo device ;;
  shell) shift 3; exec sh -c "$*" ;;
  exec-out) shift; exec sh -c "$*" ;;
  push) cp "$2" "$3" ;;
esac
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DeviceServer]:
    made = device_server(tmp_path / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    home = tmp_path / "phone"
    home.mkdir()
    program = tmp_path / "bin" / "adb"
    program.parent.mkdir()
    program.write_text(ADB.format(home=home))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return Host(adb="SERIAL", python=sys.executable, folder=str(home))
