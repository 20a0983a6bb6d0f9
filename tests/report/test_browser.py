import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize
from typer.testing import Result

from hdap.report.pictures.registry import PICTURES
from hdap.report.write_report import SECTIONS

Hdap = Callable[..., Result]
WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def report(hdap: Hdap, full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    document = json.loads(hdap("report", "--out", str(out), "--json", db=full).stdout)
    assert document["bytes"] == out.stat().st_size < 6_000_000
    return out


@dataclass(frozen=True)
class Opened:
    """The report in a browser without a network, and all that it said and asked for."""

    page: Page
    said: list[str]


@pytest.fixture(params=WIDTHS)
def opened(report: Path, browser: Browser, request: pytest.FixtureRequest) -> Opened:
    size = ViewportSize(width=int(request.param), height=900)
    page, said = browser.new_context(viewport=size, offline=True).new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn]")
    return Opened(page, said)


def test_it_asks_no_network_and_the_console_stays_empty(opened: Opened, report: Path) -> None:
    assert opened.said == [report.as_uri()]


def test_every_section_and_picture_is_there_and_drawn(opened: Opened) -> None:
    sections = opened.page.eval_on_selector_all("main > section", "all => all.map(s => s.id)")
    assert sections == ["decision", *SECTIONS]
    drawn = opened.page.eval_on_selector_all(
        ".chart",
        "all => all.filter(c => c.querySelector('svg .mark-symbol path, svg path'))"
        ".map(c => c.dataset.figure)",
    )
    assert sorted(drawn) == sorted(PICTURES)
    said = opened.page.eval_on_selector_all(
        "figcaption", "all => all.map(c => c.textContent.trim())"
    )
    assert len(said) == len(PICTURES)
    assert all(sentence.endswith(".") for sentence in said)


def test_nothing_is_wider_than_the_page(opened: Opened) -> None:
    wide = opened.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    cut = opened.page.eval_on_selector_all(
        ".chart",
        "all => all.filter(c => c.scrollWidth > c.clientWidth).map(c => c.dataset.figure)",
    )
    assert cut == []


def test_no_word_of_a_picture_is_cut_off_and_every_bar_has_its_name(opened: Opened) -> None:
    cut = opened.page.eval_on_selector_all(
        ".chart svg text",
        """all => all.filter(t => t.getAttribute('opacity') !== '0').filter(t => {
            const word = t.getBoundingClientRect(), svg = t.closest('svg').getBoundingClientRect();
            return word.left < svg.left - 1 || word.right > svg.right + 1;
        }).map(t => t.closest('.chart').dataset.figure + ': ' + t.textContent)""",
    )
    assert cut == []
    shown = "all => all.filter(t => t.getAttribute('opacity') !== '0')"
    names = opened.page.eval_on_selector_all(
        "#figure-layers .role-axis-label text", f"{shown}.map(t => t.textContent)"
    )
    bars = opened.page.locator("#figure-layers .mark-rect").first.locator("path").count()
    assert len([name for name in names if not name.replace(".", "").isdigit()]) == bars


def test_the_decision_is_one_screen_and_the_answer_stands_before_the_charts(
    opened: Opened,
) -> None:
    bottom = opened.page.evaluate(
        "document.querySelector('#decision .facts').getBoundingClientRect().bottom"
    )
    assert bottom <= 900
    first = opened.page.evaluate(
        "document.querySelector('main table, main figure').tagName.toLowerCase()"
    )
    assert first == "table"
    assert opened.page.locator("h1").count() == 1
    assert opened.page.locator("table").count() == opened.page.locator("caption").count()


def test_the_columns_that_matter_are_seen_first(opened: Opened) -> None:
    seen = opened.page.eval_on_selector_all(
        "#answer thead th",
        """all => all.filter(h => h.getBoundingClientRect().right <= window.innerWidth)
            .map(h => h.textContent)""",
    )
    assert seen[:4] == ["network", "fleet mean", "vs dense", "kept importance"]


def test_hovering_names_the_device(opened: Opened) -> None:
    mark = opened.page.locator("#figure-fleet svg .mark-symbol[role='graphics-object'] path").first
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    tooltip = opened.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "device" in tooltip.inner_text()
    assert "unit-" in tooltip.inner_text()


def test_html_in_names_is_shown_and_not_run(opened: Opened, evil: str) -> None:
    assert opened.page.locator("main img").count() == 0
    assert opened.page.title() == "hdap report: study <i>first</i>"
    text = opened.page.inner_text("main")
    assert evil in text
    assert f"{evil}.csv" in text


def test_the_button_turns_light_into_dark_and_print_is_light(opened: Opened) -> None:
    def paper() -> str:
        return str(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    opened.page.click("#look")
    assert paper() != light
    opened.page.emulate_media(media="print")
    assert paper() == light


def test_a_dark_reader_gets_a_dark_page(report: Path, browser: Browser) -> None:
    page = browser.new_context(color_scheme="dark", offline=True).new_page()
    page.goto(report.as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
