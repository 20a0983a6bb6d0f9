"""The folder of this file as one program that travels: a zip that Python runs, sources readable."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

PROGRAMS = {
    "measure": "hdap.device.measure.program",
    "controller": "hdap.device.controller",
    "switcher": "hdap.device.switcher",
}
"""What `python3 NAME.pyz` runs the `main` of."""

_MAIN = '''\
"""Runs {module}; needs Python 3.9 or later with numpy and a runtime."""

import sys

try:
    from {module} import main
except ImportError as error:
    print(
        "{name}: numpy is needed (" + str(error).splitlines()[0] + "); install it: "
        "python3 -m pip install numpy",
        file=sys.stderr,
    )
    sys.exit(1)
except KeyboardInterrupt:
    print("{name}: stopped", file=sys.stderr)
    sys.exit(130)
sys.exit(main())
'''


def program(name: str) -> bytes:
    """`NAME.pyz` of `PROGRAMS`: all of hdap.device, nothing else of hdap; always the same bytes."""
    here = Path(__file__).parent
    files = {
        f"hdap/device/{path.relative_to(here).as_posix()}": path.read_bytes()
        for path in here.rglob("*.py")
    }
    files["hdap/__init__.py"] = b'"""What of hdap runs on a device."""\n'
    files["__main__.py"] = _MAIN.format(name=name, module=PROGRAMS[name]).encode()
    made = io.BytesIO(b"")
    made.write(b"#!/usr/bin/env python3\n")
    # stored, not deflated: bytes then do not depend on who built zlib, and `less` shows the sources
    with zipfile.ZipFile(made, "a", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path)  # of 1 January 1980
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[path])
    return made.getvalue()
