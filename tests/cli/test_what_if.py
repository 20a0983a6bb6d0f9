import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hdap.cli.tables.what_if_table import parse_context
from hdap.fleet_data.errors import InputError
from hdap.surrogate.context.context_effect import Context

Hdap = Callable[..., Result]


def test_a_slower_clock_is_foretold_beside_today(hdap: Hdap, database: Path) -> None:
    found = hdap("fit", "--model", "resnet50", "--what-if", "clock=0.6", db=database)
    assert found.exit_code == 0, found.output
    assert "resnet50, dense: predicted at 60 % of today's clock" in found.stdout
    assert "resnet50, trial" in found.stdout
    assert "never reported such a clock" in found.stderr
    assert found.stdout.strip().splitlines()[-1].startswith("next: hdap ")


def test_machines_get_every_cluster_and_network(hdap: Hdap, database: Path) -> None:
    found = hdap("fit", "--model", "resnet50", "--what-if", "clock=60%", "--json", db=database)
    document = json.loads(found.stdout)
    assert document["latency"] == "predicted"
    for cluster in document["clusters"]:
        dense, best = cluster["networks"]
        assert 1.5 < dense["what_if"]["latency_ms"] / dense["today"]["latency_ms"] < 1.9
        assert best["what_if"]["latency_ms"] < dense["today"]["latency_ms"]
        low, high = (dense["what_if"][k] for k in ("low_ms", "high_ms"))
        assert low < dense["what_if"]["latency_ms"] < high


def test_fleets_that_never_reported_a_clock_are_refused_in_one_line(
    hdap: Hdap, tmp_path: Path
) -> None:
    rows = ["device_id,model,latency_ms,channels"]
    for device in range(6):
        rows += [f"d{device},mobilenetv1_100,{20 + device / 10},"] * 3
        rows += [
            f"d{device},mobilenetv1_100,{5 + n / 10 + device / 100},conv_stem={8 + n}"
            for n in range(12)
        ]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    database = tmp_path / "hdap.db"
    ingested = hdap("ingest", str(tmp_path / "t.csv"), db=database)
    assert ingested.exit_code == 0, ingested.output
    found = hdap("fit", "--model", "mobilenetv1_100", "--what-if", "clock=0.6", db=database)
    assert found.exit_code == 1
    errors = [line for line in found.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "load rows with `cpu_freq_mhz`: hdap ingest" in errors[0]


def test_circumstances_are_read_from_words() -> None:
    assert parse_context(["clock=60%,load=+20"]) == Context(clock_scale=0.6, load_shift=20.0)
    assert parse_context(["clock=1.1", "temperature=-5"]) == Context(1.1, -5.0)


@pytest.mark.parametrize(
    "text", ["clock", "clock=x", "speed=2", "clock=0.5,clock=0.6", "", "load=nan", "clock=-1"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="but got"):
        parse_context([text])
