import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from hdap.cli import app
from hdap.fleet_data.store import Store
from hdap.report.candidate import ShippingCandidate, candidate
from hdap.report.decide import decide, decision_on
from hdap.report.pictures.explained_words import ALSO, WORDS, FirstUses
from hdap.report.pictures.html_page import MOST_ROWS, Chapter
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.write_report import Report
from hdap.search.analysis.judgement import Interval

Hdap = Callable[..., Result]


@pytest.fixture(scope="module")
def source(full: Path) -> Iterator[PictureSource]:
    with Store.open(str(full), read_only=True) as store:
        yield PictureSource.of(store)


@pytest.fixture(scope="module")
def found(source: PictureSource) -> ShippingCandidate:
    return candidate(source)


def test_what_was_measured_and_holds_is_shipped(
    source: PictureSource, found: ShippingCandidate, made: Report
) -> None:
    decision = decide(source)
    assert decision == made.decision
    assert decision.outcome == "ship"
    assert decision.headline == f"Ship trial {found.number} of resnet50"
    assert "(measured" in decision.sentence
    assert f"on {found.reach.faster} of 25 devices" in decision.sentence
    assert [question for question, _ in decision.facts] == [
        *("What", "How much faster", "On how many devices", "How sure", "What it costs"),
    ]
    assert found.reach.outliers == 1  # the sick device: nothing is promised of it
    assert found.reach.faster == 24


def test_the_figures_are_those_of_the_answer_and_of_the_verdict(
    source: PictureSource, found: ShippingCandidate
) -> None:
    answer = source.answer.found
    assert found.number == source.answer.numbers[0]
    assert (found.flops, found.parameters) == (answer.flops, answer.parameters)
    assert found.predicted.value == pytest.approx(answer.fleet_mean_ms)
    # devices measured what was promised, so measured and promised speed-up agree
    assert found.over_dense.value == pytest.approx(answer.over_dense, rel=1e-3)
    assert found.over_uniform == pytest.approx(answer.over_uniform, rel=1e-3)
    assert 1.0 < found.reach.least_gain <= found.over_dense.value * 1.01


def test_what_no_device_ran_is_measured_first_and_called_predicted(
    source: PictureSource, found: ShippingCandidate
) -> None:
    unseen = replace(found, judged=None, over_dense=Interval(1.84, 1.79, 1.9))
    decision = decision_on(source, unseen)
    assert decision.outcome == "measure first"
    assert "1.84x faster than dense" in decision.sentence
    assert "(predicted, 90 % interval 1.79-1.90)" in decision.sentence
    assert decision.sentence.endswith("not yet measured.")
    simulated = decision_on(replace(source, simulated=True), unseen)
    assert "predicted from simulated data" in simulated.sentence


def test_what_breaks_its_promise_is_not_shipped(
    source: PictureSource, found: ShippingCandidate
) -> None:
    assert found.judged is not None
    slow = found.judged.verdict.fleet
    slow = replace(slow, measured=Interval(slow.measured.value * 1.3, np.nan, np.nan))
    verdict = replace(found.judged.verdict, fleet=slow)
    decision = decision_on(source, replace(found, judged=replace(found.judged, verdict=verdict)))
    assert decision.outcome == "do not ship"
    assert "does not keep its promise" in decision.sentence
    assert any("above its predicted interval" in told for told in decision.warnings)
    assert decision.steps[0].command.startswith("hdap plan --model resnet50 --from-study")


def test_what_is_no_faster_than_dense_is_not_shipped(
    source: PictureSource, found: ShippingCandidate
) -> None:
    slower = replace(found, judged=None, over_dense=Interval(0.98, 0.9, 1.05))
    assert decision_on(source, slower).headline.startswith("Do not ship")


def test_names_in_commands_are_quoted(source: PictureSource, found: ShippingCandidate) -> None:
    decision = decision_on(source, replace(found, judged=None))
    words = shlex.split(decision.steps[0].command)
    assert words[words.index("--study") + 1] == "<i>first</i>"


def test_a_floor_out_of_reach_names_the_search_that_finds_one(
    hdap: Hdap, fresh: Callable[[Path], Path], full: Path, tmp_path: Path
) -> None:
    with Store.open(str(full), read_only=True) as store:
        source = PictureSource.of(store)
        problem = replace(source.problem, floor=0.99)
        asked = replace(source)
        trials = replace(source.trials, feasible=np.zeros(len(source.trials), dtype=bool))
        asked.__dict__.update(problem=problem, trials=trials)
        decision = decide(asked)
    assert decision.outcome == "do not ship"
    assert "floor" in decision.sentence
    assert "--floor" not in decision.steps[0].command
    assert "--study" not in decision.steps[0].command


def test_less_than_a_search_is_nothing_to_ship_yet(ingested: Path, tmp_path: Path) -> None:
    with Store.open(str(ingested), read_only=True) as store:
        decision = decide(PictureSource.of(store))
    assert decision.outcome == "nothing yet"
    assert decision.steps[0].command == "hdap search --model resnet50 --flops 25%"
    Store.open(str(tmp_path / "empty.db")).close()
    with Store.open(str(tmp_path / "empty.db"), read_only=True) as store:
        decision = decide(PictureSource.of(store))
    assert decision.steps[0].command == "hdap ingest TELEMETRY.csv"


def test_the_terminal_ends_with_the_decision(full: Path, made: Report, tmp_path: Path) -> None:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(
        app, ["report", "--out", str(tmp_path / "r.html"), "--db", str(full)]
    )
    assert done.exit_code == 0
    assert made.decision.headline in " ".join(done.stdout.split())
    last = done.stdout.splitlines()[-1]
    assert last == f"next: {made.decision.steps[-1].command} --db {full}"


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_explained_once_in_any_case_and_number(word: str) -> None:
    first_uses = FirstUses()
    assert word in dict(first_uses(f"The {word.upper()}."))
    assert word not in dict(first_uses(f"{word}, and {word}s"))
    assert word in dict(FirstUses()(f"{word}s"))
    assert word not in dict(FirstUses()(f"x{word}x".replace(" ", "")))


def test_other_forms_are_of_words_that_are_explained() -> None:
    assert set(ALSO) <= set(WORDS)


def test_every_word_of_a_page_is_explained_at_most_once(made: Report) -> None:
    page = made.html()
    for word in WORDS:
        assert page.count(f"<dt>{word}</dt>") <= 1
    assert page.count("<dt>90 % interval</dt>") == 1


def test_a_long_table_shows_a_part_and_says_so() -> None:
    chapter = Chapter("x", "X")
    rows = [[str(i)] for i in range(1000)]
    chapter.tabulate("All", ["n|"], rows)
    chapter.tabulate("All", ["n|"], rows, newest_last=True)
    first, newest = chapter.tables
    assert first.title == f"All, the first {MOST_ROWS} of 1,000"
    assert first.rows[0] == ("0",)
    assert len(newest.rows) == MOST_ROWS
    assert newest.rows[-1] == ("999",)
