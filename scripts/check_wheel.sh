#!/bin/sh
# Build the wheel, install it in a fresh environment and use it outside the checkout: a folder
# that pyproject does not list is missing only there.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$root/.venv/bin/python" -m build --wheel --no-isolation --outdir "$place" "$root" >"$place/build.log" 2>&1 \
    || { cat "$place/build.log"; exit 1; }
"$root/.venv/bin/python" -m venv "$place/venv"
# The dependencies are the checkout's; only hdap itself must come from the wheel.
"$place/venv/bin/python" -m pip install --quiet --no-deps "$place"/*.whl
site=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cd "$place"
export PYTHONPATH="$site" PYTHONSAFEPATH=1
"$place/venv/bin/python" - "$place" <<'EOF'
import importlib, pkgutil, sys
import hdap
assert hdap.__file__.startswith(sys.argv[1]), f"hdap came from {hdap.__file__}, not from the wheel"
# alembic alone can run migrations/env.py
names = [m.name for m in pkgutil.walk_packages(hdap.__path__, "hdap.") if m.name.split(".")[-1] != "env"]
for name in names:
    importlib.import_module(name)
print(f"wheel: {len(names)} modules import")
EOF
"$place/venv/bin/hdap" --help >/dev/null
"$place/venv/bin/hdap" demo --trials 50 >"$place/demo.log" 2>&1 || { cat "$place/demo.log"; exit 1; }
tail -n 3 "$place/demo.log"
