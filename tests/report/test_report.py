import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner, Result

from hdap.cli import app
from hdap.fleet_data.store import Store
from hdap.report.fleet_chapters import fleet
from hdap.report.pictures.figure import SIMULATED, Figure
from hdap.report.pictures.html_page import Chapter, script_json
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.provenance import commands
from hdap.report.write_report import SECTIONS, Report
from hdap.requests.search_request import SearchRequest
from hdap.requests.setting import settings_of

Hdap = Callable[..., Result]


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.elements, self.text = False, 0, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements += 1
        self.inside = tag == "script"

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_json_in_a_script_element_reads_back_and_opens_no_other(
    document: dict[str, object],
) -> None:
    parser = _Scripts()
    parser.feed(f'<script type="application/json">{script_json(document)}</script>')
    assert parser.elements == 1
    assert json.loads(parser.text) == document


def test_an_empty_database_reports_what_to_do_first(hdap: Hdap, tmp_path: Path) -> None:
    db, out = tmp_path / "hdap.db", tmp_path / "report.html"
    Store.open(str(db)).close()
    document = json.loads(hdap("report", "--out", str(out), "--json", db=db).stdout)
    assert [s["section"] for s in document["sections"]] == list(SECTIONS)
    assert not any(s["figures"] for s in document["sections"])
    assert "hdap ingest telemetry.csv" in out.read_text()


def test_a_database_of_telemetry_alone_reports_what_is_missing(
    hdap: Hdap, ingested: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    hdap("report", "--out", str(out), db=ingested)
    text = out.read_text()
    assert "24 devices sent 1,440 measurements of resnet50." in text
    assert "hdap cluster" in text
    assert "microfleet-resnet50.csv.gz" in text


def test_everything_that_is_stored_is_shown(made: Report) -> None:
    missing = [text for section in made.sections for text in section.missing]
    assert missing == []
    assert not any(section.empty for section in made.sections)


def test_sick_devices_are_named_in_a_table(full: Path, evil: str) -> None:
    with Store.open(str(full), read_only=True) as store:
        section = fleet(PictureSource.of(store))
    assert section.tables[0].rows[0][0] == evil


def test_the_commands_of_the_provenance_make_the_same_again(
    hdap: Hdap, fresh: Callable[[Path], Path], full: Path, tmp_path: Path
) -> None:
    with Store.open(str(full), read_only=True) as store:
        source = PictureSource.of(store)
        made = commands(source, [str(full.parent / "later.csv")])
        before = store.trials(source.searched.id).counts[:40]
    again = shlex.split(made[-1])[1:]
    again[again.index("--study") + 1] = "again"
    again[again.index("--trials") + 1] = "40"
    db = fresh(tmp_path / "hdap.db")
    with Store.open(str(full), read_only=True) as store:
        files = [row[0] for row in store.query("SELECT source FROM ingests").rows][:2]
    hdap("ingest", *files, db=db)
    hdap(*shlex.split(made[1])[1:], db=db)
    hdap(*again, db=db)
    with Store.open(str(db), read_only=True) as store:
        assert (store.trials(store.study("again").id).counts == before).all()


def test_every_setting_of_a_search_is_an_option() -> None:
    search = get_command(app).commands["search"]  # type: ignore[attr-defined]
    options = {o for p in search.params for o in p.opts}
    assert {f"--{leaf.flag}" for leaf in settings_of(SearchRequest)} <= options


def test_every_picture_and_table_of_simulated_data_says_so(made: Report) -> None:
    def marked(section: Chapter) -> Chapter:
        parts = [replace(p, simulated=True) if isinstance(p, Figure) else p for p in section.parts]
        return replace(section, parts=parts)

    page = replace(made, sections=tuple(map(marked, made.sections)), simulated=True).html()
    figures = [f for section in made.sections for f in section.figures]
    assert page.count("Simulated data.</strong>") == len(figures)
    assert page.count(SIMULATED) == len(figures)
    tables = sum(len(s.tables) for s in made.sections if s.name != "provenance")
    assert page.count("(simulated data)") == tables


@pytest.mark.parametrize("command", ["report", "plot fleet"])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("/nowhere/r.html", "create it"),
        ("/proc/r.html", "must be writable"),
        ("x" * 300 + ".html", "give it a shorter name"),
        ("folder.html", "must name a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(
    full: Path, tmp_path: Path, command: str, place: str, message: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    words = [*command.split(), "--out", str(tmp_path / place), "--db", str(full)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert message in done.stderr
