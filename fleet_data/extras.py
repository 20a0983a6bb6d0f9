"""Packages that are installed on demand, and what to say where they are not."""

from importlib.util import find_spec

from hdap.fleet_data.errors import InputError

EXTRAS = {
    "mlflow": ("mlflow",),
    "objects": ("obstore",),
    "report": ("altair", "vl_convert", "jinja2", "optuna_dashboard"),
    "serve": ("starlette", "uvicorn"),
    "ibis": ("ibis", "duckdb"),
    "ssh": ("asyncssh",),
    "watch": ("prometheus_client",),
}


def require(extra: str) -> None:
    """Raise InputError, with the line that installs it, where a package of an extra is missing."""
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise InputError(
            f"this needs the extra `{extra}`, but {', '.join(missing)} is not installed: "
            f"pip install 'hdap[{extra}]'"
        )
