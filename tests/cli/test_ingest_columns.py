"""`hdap ingest` of files with names of their own: --map, --source, --yes and the question."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Hdap = Callable[..., Result]
LOG = Path(__file__).parents[1] / "data" / "logs" / "benchmark_model.txt"
FILE = """serial;network;inference_us;ts
cam-1;ResNet-50;70500;1772359200
cam-2;ResNet-50;91200,5;1772359201
cam-3;ResNet-50;80000;1772359202
cam-4;ResNet-50;80000;1772359203
"""
MAP = ["serial=device_id", "network=model", "inference_us=latency_ms", "ts=timestamp"]
SAID = [word for pair in MAP for word in ("--map", pair)]
ALIAS = ["--model-alias", "ResNet-50=resnet50"]
TOML = f"""
[ingest]
max-rejected = "50%"

[source.gateway]
map = {MAP!r}
model-alias = ["ResNet-50=resnet50"]
max-rejected = "0"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.csv").write_text(FILE)
    return "g.csv"


def latencies(hdap: Hdap) -> str:
    return hdap("sql", "SELECT latency_ms FROM telemetry ORDER BY 1", "--csv", db="h.db").stdout


READ = "latency_ms\n70.5\n80.0\n80.0\n91.2005\n"


def test_columns_models_and_units_are_read_as_they_are_said(hdap: Hdap, file: str) -> None:
    done = hdap("ingest", file, *SAID, *ALIAS, db="h.db")
    assert done.exit_code == 0, done.output
    assert "serial=device_id" in done.stdout
    assert "unit=us" in done.stdout
    assert latencies(hdap) == READ


def test_a_proposal_is_shown_with_three_rows_and_nothing_is_stored(hdap: Hdap, file: str) -> None:
    done = hdap("ingest", file, db="h.db")
    assert done.exit_code == 1
    assert "latency_ms in us" in done.stderr
    assert all(shown in done.stderr for shown in ("cam-1", "91200,5", "cam-3"))
    assert "cam-4" not in done.stderr
    assert "agree with --yes to --map serial=device_id" in done.stderr
    assert not Path("h.db").exists()


def test_yes_takes_the_proposal_and_shows_it(hdap: Hdap, file: str) -> None:
    done = hdap("ingest", file, "--yes", *ALIAS, db="h.db")
    assert done.exit_code == 0, done.output
    assert "latency_ms in us" in done.stderr
    assert latencies(hdap) == READ


def test_a_pipe_is_read_with_yes_too(hdap: Hdap, file: str) -> None:
    refused = hdap("ingest", "-", db="h.db", stdin=FILE.encode())
    assert "agree with --yes" in refused.stderr
    assert hdap("ingest", "-", "--yes", *ALIAS, db="h.db", stdin=FILE.encode()).exit_code == 0
    assert latencies(hdap) == READ


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_at_a_terminal_is_asked(
    hdap: Hdap, file: str, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    monkeypatch.setattr("hdap.cli.terminal.agree_to_columns.can_ask", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer)
    done = hdap("ingest", file, *ALIAS, db="h.db")
    assert done.exit_code == (0 if answer else 1), done.output
    assert ("the same without a question: --map serial=device_id" in done.stderr) == answer


def test_a_source_of_the_settings_holds_before_the_commands_own(hdap: Hdap, file: str) -> None:
    Path("hdap.toml").write_text(TOML)
    done = hdap("ingest", file, "--source", "gateway", db="h.db")
    assert done.exit_code == 0, done.output
    assert latencies(hdap) == READ
    shown = hdap("ingest", file, "--source", "gateway", "--dump-config").stdout
    assert 'max-rejected = "0"' in shown
    given = hdap("ingest", file, "--source=gateway", "--max-rejected=7", "--dump-config").stdout
    assert 'max-rejected = "7"' in given
    assert 'max-rejected = "50%"' in hdap("ingest", file, "--dump-config").stdout


def test_all_settings_are_dumped_with_their_sources(hdap: Hdap, file: str) -> None:
    Path("hdap.toml").write_text(TOML)
    dumped = hdap("--dump-config").stdout
    assert "[source.gateway]\nmap = [" in dumped
    Path("other.toml").write_text(dumped)
    assert hdap("--config", "other.toml", "--dump-config").stdout == dumped


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("", "it has none"),
        ("[source.other]\n", "it has other"),
        ("[source]\ngateway = 1\n", "write [source.gateway]"),
        ("[source.gateway]\nmpa = []\n", "did you mean `map`?"),
        ("[source.gateway]\nmap = ['a=modle']\n", "did you mean `model`?"),
    ],
)
def test_a_source_that_is_none_is_named(hdap: Hdap, file: str, toml: str, said: str) -> None:
    Path("hdap.toml").write_text(toml)
    done = hdap("ingest", file, "--source", "gateway", db="h.db")
    assert done.exit_code in (1, 2)
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_a_model_that_timm_writes_another_way_is_seen_before_its_rows_are_stored(
    hdap: Hdap, file: str
) -> None:
    done = hdap("ingest", file, *SAID, db="h.db")
    assert done.exit_code == 1
    assert "did you mean resnet50? --model-alias ResNet-50=resnet50" in done.stderr
    assert latencies(hdap) == "latency_ms\n"
    kept = hdap("ingest", file, *SAID, "--model-alias", "ResNet-50=ResNet-50", db="h.db")
    assert kept.exit_code == 0, kept.output


def test_what_repairs_a_unit_reads_the_file_in_the_same_way(hdap: Hdap, file: str) -> None:
    Path("hdap.toml").write_text(TOML)
    plain = "".join(f"d{i},resnet50,{70 + i}\n" for i in range(30))
    Path("fleet.csv").write_text(f"device_id,model,latency_ms\n{plain}")
    assert hdap("ingest", "fleet.csv", db="h.db").exit_code == 0
    done = hdap("ingest", file, "--source", "gateway", "--unit", "ms", db="h.db")
    assert "--unit us --source gateway" in " ".join(done.stdout.split())


def test_json_lines_are_proposed_and_agreed_to_as_a_csv_is(hdap: Hdap, file: str) -> None:
    row = '{"serial": "cam-1", "network": "resnet50", "inference_us": 70500}\n'
    Path("g.jsonl").write_text(row)
    refused = hdap("ingest", "g.jsonl", db="h.db")
    assert refused.exit_code == 1
    assert "latency_ms in us" in refused.stderr
    assert "agree with --yes to --map serial=device_id" in refused.stderr
    assert hdap("ingest", "g.jsonl", "--yes", db="h.db").exit_code == 0
    assert latencies(hdap) == "latency_ms\n70.5\n"


def test_a_log_has_no_columns_to_map_and_what_repairs_its_unit_says_what_it_is_of(
    hdap: Hdap, file: str
) -> None:
    fleet = "".join(f"d{i},resnet50,{0.14 + i / 1000}\n" for i in range(30))
    Path("fleet.csv").write_text(f"device_id,model,latency_ms\n{fleet}")
    shutil.copy(LOG, "log.txt")
    assert hdap("ingest", "fleet.csv", "--unit", "ms", "--sure", db="h.db").exit_code == 0
    of = ("--device-id", "cam 7", "--model", "resnet50")
    refused = hdap("ingest", "log.txt", *of, "--map", "a=runs", db="h.db")
    assert refused.exit_code == 1
    assert "--map must name columns, but log.txt is" in refused.stderr
    done = hdap("ingest", "log.txt", *of, db="h.db")
    assert "--device-id 'cam 7' --model resnet50" in " ".join(done.stdout.split()), done.output
