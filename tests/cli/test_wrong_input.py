from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Hdap = Callable[..., Result]
SIZES = ("search", "--model", "resnet50", "--latency", "20ms", "--networks", "2")
SEARCH = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "20")

WRONG = {
    "budget below the smallest network": (
        ("search", "--model", "resnet50", "--flops", "10M", "--step", "16"),
        "10.0 M",
    ),
    "budget above the dense network": (
        ("search", "--model", "resnet50", "--flops", "9G"),
        "at most the dense model's 4.09 G",
    ),
    "budget that is no number": (
        ("search", "--model", "resnet50", "--flops", "much"),
        "`1.0G`, `300M`",
    ),
    "unknown model": (
        ("search", "--model", "resnet5o", "--flops", "1.0G"),
        "nearest names: `resnet50`",
    ),
    "model that was never measured": (
        ("search", "--model", "mobilenetv1_100", "--flops", "100M"),
        "hdap ingest telemetry.csv",
    ),
    "unknown sampler": ((*SEARCH, "--sampler", "magic"), "fleet, tpe, nsga2"),
    "unknown surrogate": ((*SEARCH, "--surrogate", "magic"), "fleet, roofline"),
    "unknown objective": ((*SEARCH, "--objective", "magic"), "mean, p95, worst"),
    "fixed group that is not there": ((*SEARCH, "--fix", "conv9=8"), "conv9"),
    "fixed count above the width": ((*SEARCH, "--fix", "conv1=65"), "64"),
    "floor that nothing keeps": ((*SEARCH, "--floor", "1.5"), "`0 <= floor <= 1`"),
    "two floors": ((*SEARCH, "--floor", "0.4", "--floor-share", "90%"), "--floor-share"),
    "band of no width": ((*SEARCH, "--flops-tol", "-1"), "0 <= tolerance < 1"),
    "patience with a front": (
        (*SEARCH, "--objective", "mean,kept", "--patience", "20"),
        "one objective only",
    ),
    "a band for networks of several sizes": ((*SIZES, "--flops-tol", "0"), "without --flops-tol"),
    "study that is not there": (("search", "--resume", "nothing"), "nothing"),
    "study name that is taken": ((*SEARCH, "--study", "resnet50-1.0G-1"), "resnet50-1.0G-1"),
    "fit of an unknown kind": (("fit", "--model", "resnet50", "--kind", "magic"), "roofline"),
    "cluster by an unknown algorithm": (("cluster", "--algorithm", "magic"), "kmeans"),
    "trial that is not there": (("trials", "--trial", "99999"), "99999"),
    "two views at once": (("trials", "--pareto", "--studies"), "exclude each other"),
    "sql that writes": (("sql", "DELETE FROM trials"), "nothing of it was run"),
    "sql that is none": (("sql", "SELEKT 1"), "SELEKT"),
    "file that is not there": (("ingest", "nowhere.csv"), "nowhere.csv"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_exit_1(hdap: Hdap, searched: Path, case: str) -> None:
    arguments, expected = WRONG[case]
    done = hdap(*arguments, db=searched)
    assert done.exit_code == 1, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert expected in lines[0]
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "--model", "resnet50"),
        (*SEARCH, "--fix", "conv1"),
        (*SEARCH, "--step", "none"),
        (*SEARCH, "--trials", "0"),
        ("cluster", "--clusters", "0"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_2(hdap: Hdap, arguments: tuple[str, ...]) -> None:
    assert hdap(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [SEARCH, ("cluster",), ("fit", "--model", "resnet50"), ("trials",), ("sql", "SELECT 1")],
)
def test_a_database_that_is_not_there_is_not_made(
    hdap: Hdap, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    missing = tmp_path / "missing.db"
    done = hdap(*arguments, db=missing)
    assert done.exit_code == 1
    assert "hdap ingest" in done.stderr
    assert not missing.exists()


def test_a_file_with_a_wrong_header_keeps_every_other_file_out_too(
    hdap: Hdap, tmp_path: Path, fleet_file: Callable[[str], Path]
) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("device,latency\na,1\n")
    database = tmp_path / "hdap.db"
    done = hdap("ingest", str(fleet_file("resnet50")), str(wrong), db=database)
    assert done.exit_code == 1
    assert "device_id" in done.stderr
    assert not database.exists()


def test_too_few_rows_to_fit_is_one_line_with_the_remedy(hdap: Hdap, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    few.write_text(
        "device_id,model,latency_ms,channels\n"
        "a,resnet50,50.0,\nb,resnet50,51.0,\na,resnet50,40.0,conv1=32\n"
    )
    database = tmp_path / "hdap.db"
    assert hdap("ingest", str(few), db=database).exit_code == 0
    done = hdap("search", "--model", "resnet50", "--flops", "1.0G", db=database)
    assert done.exit_code == 1
    assert "measure" in done.stderr


def test_rejected_rows_are_counted_by_reason_and_listed_in_a_file(
    hdap: Hdap, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "device_id,model,latency_ms,channels\n"
        "a,resnet50,50.0,\na,resnet50,fast,\na,resnet50,40.0,conv1=65\na,resnet50,40,nope=3\n"
    )
    done = hdap("ingest", str(file), db=tmp_path / "hdap.db")
    assert done.exit_code == 0
    rejected = (tmp_path / "rows.csv.rejected.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in rejected[1:]] == [
        ["3", "latency_ms"],
        ["4", "channels"],
        ["5", "channels"],
    ]
    assert "3 rows were rejected" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("trials", 1, "a study must be stored, but there is none: `hdap search` makes one"),
        ("trials --studies", 0, "no study is stored: `hdap search` makes one"),
        ("devices", 0, "0 of 0 devices shown"),
        ("status", 0, "0 devices, 0 clusters"),
    ],
)
def test_what_is_not_there_yet_is_a_line_and_no_empty_table(
    hdap: Hdap, fresh: Callable[[Path], Path], tmp_path: Path, words: str, code: int, says: str
) -> None:
    done = hdap(*words.split(), db=fresh(tmp_path / "hdap.db"))
    assert done.exit_code == code, done.output
    assert says in done.output
    assert "───" not in done.output
