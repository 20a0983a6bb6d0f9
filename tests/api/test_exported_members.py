import subprocess
import sys

import hdap

MEMBERS = [
    *("Fleet", "Found", "HdapError", "__version__", "load_pruned", "prune_like", "save_pruned"),
]


def test_the_package_exports_these_and_nothing_else() -> None:
    assert hdap.__all__ == MEMBERS == sorted(MEMBERS)
    assert set(MEMBERS) <= set(dir(hdap))
    assert all(getattr(hdap, name) is not None for name in MEMBERS)


def test_fleet_and_found_have_these_members() -> None:
    def public(kind: type) -> list[str]:
        return sorted(name for name in dir(kind) if not name.startswith("_"))

    assert public(hdap.Fleet) == [
        *("assignments", "close", "clusters", "devices", "fit", "ingest", "picture", "plan"),
        *("progress", "report", "search", "sizes", "sql", "store", "study", "trials", "url"),
    ]
    assert public(hdap.Found) == [
        *("channels", "per_cluster", "predicted_interval_ms", "predicted_ms", "prune", "study"),
        "table",
        *("to_frame", "trial", "verify", "worth", "write_check"),
    ]


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    assert not hasattr(hdap, "fleet_of_ships")


def test_importing_the_api_loads_no_torch_and_asking_for_nothing_loads_nothing() -> None:
    code = (
        "import sys, hdap\n"
        "heavy = {'torch', 'optuna', 'sqlalchemy', 'polars', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "hdap.Fleet\n"
        "print(sorted({'torch', 'altair'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
