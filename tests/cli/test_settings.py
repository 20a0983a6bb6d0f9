"""A setting is said once, in a field; what follows from it is looked at here."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field
from importlib import import_module
from inspect import get_annotations
from pathlib import Path
from typing import Annotated

import pytest

from hdap.cli.app import COMMANDS
from hdap.clustering.algorithms.registry import ALGORITHMS
from hdap.networks.criteria import CRITERIA
from hdap.networks.export_formats.registry import FORMATS
from hdap.report.pictures.looks import LOOKS
from hdap.report.pictures.registry import PICTURES
from hdap.requests.recipe import Recipe
from hdap.requests.search_request import SearchRequest, settled
from hdap.requests.setting import Given, Leaf, Setting, SettingError, Without, build, settings_of
from hdap.search.problem.proxies import PROXIES
from hdap.search.samplers.registry import SAMPLERS
from hdap.simulation.presets import PRESETS
from hdap.simulation.sinks import SINKS
from hdap.surrogate.models.registry import SURROGATES

MODULES = {
    words: f"hdap.cli.commands.{words.replace(' ', '_').replace('-', '_')}" for words in COMMANDS
}
OWN_NAMES: dict[tuple[str, str], Iterable[str]] = {
    ("cluster", "algorithm"): ALGORITHMS,
    ("fit", "kind"): SURROGATES,
    ("search", "surrogate"): SURROGATES,
    ("search", "sampler"): SAMPLERS,
    ("search", "proxy"): PROXIES,
    ("prune", "criterion"): CRITERIA,
    ("export", "kind"): FORMATS,
    ("simulate", "preset"): PRESETS,
    ("simulate", "form"): SINKS,
    ("plot", "kind"): PICTURES,
    ("plot", "look"): LOOKS,
}


@dataclass(frozen=True)
class Inner:
    """Settings of another room."""

    count: Annotated[int, Setting("How many.", low=1)]
    name: Annotated[str, Setting("Called so.")] = "x"
    hidden: int = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    """A command."""

    inner: Inner | None = None
    recipe: Annotated[Recipe, Without.these("recalibration")] = field(
        default_factory=lambda: Recipe(epochs=3, recalibration=20)
    )
    file: Annotated[str, Setting("Kept.", there="file")] = ""
    given: Given = field(default_factory=Given)


def _leaf(command: str, name: str) -> Leaf:
    return next(leaf for leaf in settings_of(COMMANDS[command]) if leaf.name == name)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_is_run_by_its_own_file_which_takes_its_class(words: str) -> None:
    module = import_module(MODULES[words])
    assert get_annotations(module.run) == {"asked": COMMANDS[words], "return": None}


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_setting_has_help_that_is_a_sentence(words: str) -> None:
    told = (COMMANDS[words].__doc__ or "").partition("\n")[0]
    assert told.endswith(".")
    assert not told.startswith(COMMANDS[words].__name__)
    unsaid = [
        leaf.flag for leaf in settings_of(COMMANDS[words]) if leaf.setting.help[-1:] not in ".?"
    ]
    assert unsaid == []


@pytest.mark.parametrize("at", OWN_NAMES, ids=" ".join)
def test_what_is_offered_is_what_there_is_and_all_of_it_is_in_the_help(at: tuple[str, str]) -> None:
    setting = _leaf(*at).setting
    assert sorted(setting.choices) == sorted(OWN_NAMES[at])
    assert [name for name in OWN_NAMES[at] if name not in setting.help] == []


def test_a_nested_default_counts_and_what_is_not_asked_is_left_out() -> None:
    leaves = {leaf.name: leaf for leaf in settings_of(Outer)}
    assert leaves["epochs"].default == 3
    assert leaves["batch_size"].default == Recipe.batch_size
    assert not {"recalibration", "hidden", "decay"} & set(leaves)


def test_an_optional_request_is_made_where_what_it_needs_is_given() -> None:
    assert build(Outer, {"name": "y"}).inner is None
    made = build(Outer, {"name": "y", "count": 2, "epochs": 5})
    assert made.inner == Inner(2, "y")
    assert (made.recipe.epochs, made.recipe.recalibration) == (5, 20)
    assert made.given == {"name": "y", "count": 2, "epochs": 5}
    assert {leaf.name: leaf.default for leaf in settings_of(Outer)}["count"] is None
    assert next(settings_of(Inner)).default is MISSING


def test_a_path_that_is_stored_as_text_is_resolved(tmp_path: Path) -> None:
    leaf = next(leaf for leaf in settings_of(Outer) if leaf.name == "file")
    assert leaf.read(tmp_path / ".." / tmp_path.name) == str(tmp_path)


def test_what_cannot_be_read_names_its_flag() -> None:
    with pytest.raises(SettingError, match="GROUP=COUNT, not 'conv1'") as refused:
        _leaf("search", "fixed").read(["conv1"])
    assert refused.value.flag == "fix"


@pytest.mark.parametrize(
    ("request_", "given", "objective", "trials"),
    [
        (SearchRequest("m", "1G"), (), "mean", 2000),
        (SearchRequest("m", latency="20ms"), (), "p95", 2000),
        (SearchRequest("m", latency="20ms", objective="worst"), ("objective",), "worst", 2000),
        (SearchRequest("m", "1G", data="d"), (), "mean", 2000),
        (SearchRequest("m", "1G", data="d", tunings=0), (), "mean,accuracy", 200),
        (
            SearchRequest("m", "1G", data="d", tunings=0, trials=2000),
            ("trials",),
            "mean,accuracy",
            2000,
        ),
        (SearchRequest("m", "1G", data="d", tunings=0, min_accuracy=0.6), (), "mean", 200),
        (
            SearchRequest("m", "1G", data="d", tunings=0, objective="accuracy,p95"),
            ("objective",),
            "accuracy,p95",
            200,
        ),
    ],
)
def test_what_a_search_leaves_open_follows_from_the_rest(
    request_: SearchRequest, given: tuple[str, ...], objective: str, trials: int
) -> None:
    found = settled(request_, given)
    assert (found.objective, found.trials) == (objective, trials)


@pytest.mark.parametrize(
    "line", ["--help", "search --help", "--dump-config", "plan --model x --out y --dump-config"]
)
def test_no_command_is_imported_to_be_told_of(line: str) -> None:
    code = (
        "import sys; from hdap.cli import app\n"
        f"app({line.split()}, standalone_mode=False)\n"
        f"ours = {set(MODULES.values())}\n"
        "heavy = {'numpy', 'optuna', 'sqlalchemy', 'torch', 'polars', 'altair', 'jinja2'}\n"
        "print('loaded:', sorted((ours | heavy) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


@pytest.mark.parametrize("flag", ["levels", "trials", "steps", "step"])
def test_a_flag_of_many_commands_means_one_thing(flag: str) -> None:
    leaves = [leaf for wanted in COMMANDS.values() for leaf in settings_of(wanted)]
    mine = [leaf for leaf in leaves if flag in (leaf.flag, leaf.setting.also)]
    assert mine
    assert len({str(leaf.kind) for leaf in mine}) == 1
    words = {"levels": "levels", "trials": "Trials", "steps": "Steps", "step": "Grid"}
    assert all(words[flag] in leaf.setting.help for leaf in mine)
    # one of a search is called the same wherever it searches
    assert not any(leaf.flag == "search-trials" for leaf in leaves)
