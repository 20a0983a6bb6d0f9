"""Every code block of README and docs is run, or every command and option of it at least exists."""

import configparser
import math
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from hdap.cli import app
from hdap.cli.app import COMMANDS
from hdap.cli.options.config_file import read_config
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.plugins import Registry
from hdap.fleet_data.records import PortfolioRecord, VariantClusterRecord, VariantRecord
from hdap.fleet_data.store import Store

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUP: Any = get_command(app)
ALONE = {"--config", "--dump-config", "--version", "--install-completion", "--help"}
BUNDLE = "the bundle has to be measured first, which takes minutes"
NOT_RUN = {
    "hdap ingest telemetry.csv": "index.md and README name a file of the reader's",
    "hdap search --model resnet50 --flops 1.0G": "the same",
    "hdap report --out report.html": "tests/report does, and opens it",
    "hdap plan --model hdap.examples.networks:small_resnet --per-cluster 40 --out bundles": BUNDLE,
    "hdap measure bundles/bundle-1 --device-id north-gate": BUNDLE,
    "hdap measure bundles/bundle-2 --device-id south-gate": BUNDLE,
    "hdap ingest bundles/bundle-1/measured-north-gate.csv "
    "bundles/bundle-2/measured-south-gate.csv": BUNDLE,
    "hdap search --model hdap.examples.networks:small_resnet --flops 40% --study first": BUNDLE,
    "hdap report --study first --out report.html": BUNDLE,
    "hdap verify --study first --trial 7 --out proof": BUNDLE,
    "hdap verify --study first --trial 7": BUNDLE,
    "hdap prune --study first --trial 7 --weights trained.pt --out pruned": BUNDLE,
    "hdap export pruned --format onnx --out network.onnx": BUNDLE,
    "hdap dashboard --port 8081": "serves until it is stopped: tests/cli/test_dashboard.py",
    "hdap portfolio serve bundle --port 8010 --policy latency:50ms": "serves until it is stopped: "
    "tests/cli/test_portfolio_serve.py",
    "hdap --install-completion": "changes the shell's settings",
}

WRITTEN_BY_MKDOCS = {"commands.md", "json.md", "notebook.md", "api/index.md"}

IN_ORDER = {"detection.md", "portfolio.md"}
"""Pages whose lines for the shell need what the lines before them wrote, and so does the Python."""

SEVERAL = ("--latency", "20ms", "--networks", "2", "--trials", "40")
PLANNED = ("--model", "resnet50", "--target-latency", "40ms", "--clocks", "0.6,1.0")


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        for language, text in re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL):
            yield Block(page, language, text)


def _commands(page: Path) -> Iterator[str]:
    """Every `hdap ...` of a page: in blocks, indented lines, tables and sentences."""
    text = page.read_text()
    blocks = re.findall(r"```(?:bash|text)\n(.*?)```", text, re.DOTALL)
    yield from re.findall(r"^(?:.* \| )?(hdap .+)$", "\n".join(blocks), re.MULTILINE)
    yield from re.findall(r"^    (hdap .+)$", text, re.MULTILINE)
    yield from (x for x in re.findall(r"`(hdap \S[^`]*)`", text) if "..." not in x)


def _lines(block: Block) -> list[str]:
    """The lines of a block for the shell that are run."""
    return [line for line in block.text.splitlines() if line and line not in NOT_RUN]


BLOCKS = list(_blocks())
SHELL = [line for b in BLOCKS if b.language == "bash" for line in b.text.splitlines() if line]
ONE_BY_ONE = [
    line
    for b in BLOCKS
    if b.language == "bash" and b.page.name not in IN_ORDER
    for line in _lines(b)
]


@pytest.fixture
def here(tmp_path: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a searched `fleet.db`, as the pages assume it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(fleet, tmp_path / "fleet.db")
    return tmp_path


@pytest.fixture(scope="session")
def fleet(fleet_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fleet") / "fleet.db"
    for command in (
        ("ingest", str(fleet_file("resnet50"))),
        ("search", "--model", "resnet50", *SEVERAL),
        ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "60"),
        ("elastic", "plan", *PLANNED),
    ):
        done = CliRunner().invoke(app, [*command, "--db", str(path)])
        assert done.exit_code == 0, done.output
    with Store.open(str(path)) as store:
        store.save_portfolio(_portfolio(store))
    return path


def _portfolio(store: Store) -> PortfolioRecord:
    """One variant, the first trial: building one exports ResNet-50, which tests/portfolio does with
    smaller networks."""
    study = store.studies()[-1]
    architecture, trial = store.architecture(study.model), store.trials(study.id)
    cluster = VariantClusterRecord(0, 10.0, 9.0, 11.0)
    variant = VariantRecord(
        variant="v0",
        channels=format_channels(architecture, trial.counts[:1])[0],
        parameters=int(trial.parameters[0]),
        bytes=4 * int(trial.parameters[0]),
        flops=int(trial.flops[0]),
        kept_importance=float(trial.kept_importance[0]),
        accuracy=math.nan,
        fleet_mean_ms=10.0,
        fleet_mean_low_ms=9.0,
        fleet_mean_high_ms=11.0,
        measured_here_ms=math.nan,
        provenance={"from": "flops"},
        clusters=(cluster,),
    )
    return PortfolioRecord(
        model=study.model,
        architecture_digest=architecture.digest,
        clustering_id=study.clustering_id,
        source="flops",
        bundle="bundle",
        settings={},
        simulated=False,
        created_at=datetime.now(UTC),
        variants=(variant,),
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    for line in _commands(page):
        words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
        options = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
        if words[0].startswith("-"):
            assert words[0] in ALONE, line
            words = words[2:] if words[0] == "--config" else words[1:]
            options -= ALONE
        if not words or words[0] in ("COMMAND", "python3"):
            continue
        assert words[0] in GROUP.commands, line
        command = GROUP.commands[words[0]]
        while hasattr(command, "commands") and words[1:]:
            words = words[1:]
            assert words[0] in command.commands, line
            command = command.commands[words[0]]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        assert options <= known | {"-h", "--help"} or command.context_settings.get(
            "ignore_unknown_options"
        ), line


@pytest.mark.parametrize(
    "page", sorted({b.page for b in BLOCKS if b.language == "python"}), ids=lambda p: p.name
)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    here: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.name == "index.md":
        (here / "fleet.db").unlink()  # this page makes its own
    if page.name in IN_ORDER:
        monkeypatch.setenv("HDAP_DB", str(here / "fleet.db"))
        lines = [x for b in BLOCKS if b.page == page and b.language == "bash" for x in _lines(b)]
        for line in lines:
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, done.output
    # what a page adds to a registry is gone after it
    monkeypatch.setattr(Registry, "add", lambda r, name, x: monkeypatch.setitem(r._own, name, x))
    names: dict[str, object] = {"__name__": page.stem}
    for block in BLOCKS:
        if block.page == page and block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)


@pytest.mark.parametrize("line", ONE_BY_ONE)
def test_a_line_for_the_shell_runs(here: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HDAP_DB", str(here / "fleet.db"))
    said = re.match(r'echo "(.*)" \| (.*)', line)
    words = shlex.split(said[2] if said else line)
    done = CliRunner().invoke(app, words[1:], input=said[1] if said else None)
    assert done.exit_code == 0, done.output


def test_lines_that_are_not_run_are_there_and_say_why() -> None:
    assert set(NOT_RUN) <= set(SHELL)
    assert all(NOT_RUN.values())


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "sql"], ids=lambda b: b.text[:30]
)
def test_a_question_has_an_answer(fleet: Path, block: Block) -> None:
    with Store.open(str(fleet), read_only=True) as store:
        assert store.query(block.text).rows


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "toml"], ids=lambda b: b.page.name
)
def test_settings_of_a_page_are_settings(tmp_path: Path, block: Block) -> None:
    path = tmp_path / "hdap.toml"
    path.write_text(block.text)
    found = read_config(path, COMMANDS)
    assert found["search"]["flops"] == "1.0G" if "[search]" in block.text else found


def test_every_page_is_in_the_navigation_and_every_block_is_of_a_known_kind() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [p.name for p in PAGES[1:] if p.name not in navigation] == []
    known = {"python", "bash", "sql", "toml", "ini", "yaml", "text"}
    assert {b.language for b in BLOCKS} <= known


def test_a_unit_starts_a_command_that_there_is() -> None:
    (block,) = [b for b in BLOCKS if b.language == "ini"]
    unit = configparser.ConfigParser()
    unit.read_string(block.text)
    program, command, *_ = shlex.split(unit["Service"]["ExecStart"])
    assert (Path(program).name, command) == ("hdap", "watch")


def test_a_job_of_kubernetes_starts_a_command_that_there_is() -> None:
    (block,) = [b for b in BLOCKS if b.language == "yaml"]
    pod = yaml.safe_load(block.text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0] == "watch"


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 9_000


def test_every_link_of_a_page_leads_somewhere() -> None:
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in link and link not in WRITTEN_BY_MKDOCS:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_pictures_of_the_readme_are_there_and_small() -> None:
    named = re.findall(r"!\[.+?\]\((\S+?)\)", (ROOT / "README.md").read_text(), re.DOTALL)
    assert named
    for name in named:
        assert (ROOT / name).stat().st_size < 300_000, name
