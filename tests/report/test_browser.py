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
    assert sections == list(SECTIONS)
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
