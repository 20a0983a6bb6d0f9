"""The report under hostile names, huge fleets and every state that a database can be in."""

import json
import re
import shlex
import sqlite3
import time
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.reliability.attack import ROOT, Attack, Outcome, Tally, run_hdap

FLEET = ROOT / "hdap" / "data" / "microfleet-resnet50.csv.gz"
MOST_BYTES = 4_000_000
"""A page that can be sent by mail; that of 24 devices has 1.3 MB, most of it the charts' script."""
MOST_SECONDS = 60.0
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</style><svg onload=alert(1)>",
    "--><script>alert(1)</script><!--",
    "'\"><iframe src=javascript:alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;amp;",
    "]]><![CDATA[<b>",
    "\u202eevil\u2066",
    "a\u2028b",
    "datum.latency;alert(1)",
    "x" * 128,
)
ALLOWED = {
    *("html", "head", "meta", "link", "title", "style", "body", "header", "button", "main", "nav"),
    *("section", "h1", "h2", "h3", "p", "a", "dl", "div", "dt", "dd", "ul", "li", "code", "span"),
    *("figure", "figcaption", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("pre", "details", "summary", "footer", "noscript", "script"),
}
SCRIPTS = 3  # the data, the charts' library, what draws them


class Page(HTMLParser):
    """What a browser would make of a report: its elements, scripts, handlers and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.scripts, self.policy = 0, ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag not in ALLOWED:
            self.wrong.append(f"an element <{tag}> that no template has")
        for name, value in attrs:
            if name.startswith("on"):
                self.wrong.append(f"a handler {name}={value}")
            if name in ("href", "src") and not (value or "").startswith(("#", "data:,")):
                self.wrong.append(f"an address {value}")
            if name == "content" and "default-src" in (value or ""):
                self.policy = value or ""


def _badly(page: Path, what: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = Page(text)
    wrong = [*found.wrong]
    if found.scripts not in (2, SCRIPTS):  # the library is left out where no chart is
        wrong.append(f"{found.scripts} scripts")
    if "default-src 'none'" not in found.policy:
        wrong.append("no policy that forbids the network")
    if len(text.encode()) > MOST_BYTES:
        wrong.append(f"{len(text.encode()):,} bytes")
    if re.search(r"(?<![a-z])(nan|inf|None(?! of))(?![a-z])", _words(text)):
        wrong.append("shows nan, inf or None")
    return [f"{what}: {line}" for line in wrong]


def _words(text: str) -> str:
    """What a person reads."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.S)
    return re.sub(r"<[^>]*>", " ", body)


def _fleet(path: Path, names: list[str], rows: int = 2) -> None:
    """Everyday telemetry of devices, two clusters of them."""
    lines = ["device_id,model,runtime,latency_ms,timestamp"]
    for i, name in enumerate(names):
        quoted = '"' + name.replace('"', '""') + '"'
        for j in range(rows):
            ms = (50.0 if i % 2 else 90.0) + (i % 7) * 0.1 + j * 0.01
            at = f"2026-11-22T{j:02}:00:00Z"
            lines.append(f"{quoted},resnet50,onnxruntime-cpu-1t,{ms:.3f},{at}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _database(folder: Path, extra: Path | None, study: str) -> Path:
    """A fleet that was searched, with further telemetry beside the measured one."""
    files = [str(FLEET), *([] if extra is None else [str(extra)])]
    run_hdap("ingest", *files, cwd=folder)
    asked = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "60")
    run_hdap(*asked, "--study", study, cwd=folder, timeout=600)
    return folder / "hdap.db"


def hostile_names(folder: Path, cases: int) -> Outcome:
    """Devices, files, studies and what clusters are called, each with HTML in it."""
    tally = Tally()
    extra = folder / "<script>alert(1)<script>.csv"
    _fleet(extra, [f"{name}{i}" for i in range(3) for name in HOSTILE if len(name) < 120])
    db = _database(folder, extra, "</title><script>alert(1)</script>")
    ran = run_hdap("report", cwd=folder, timeout=300)
    tally.add(ran.badly(code=0, says="trial"))
    tally.add(_badly(folder / "report.html", "hostile devices"))
    for name, other in zip(HOSTILE[::2], HOSTILE[1::2], strict=True):
        with sqlite3.connect(db) as connection:
            connection.execute("UPDATE studies SET study = ?", (name,))
            connection.execute("UPDATE clusters SET description = ?", (other,))
            connection.execute("UPDATE surrogates SET warning = ?", (other,))
            connection.execute("UPDATE ingests SET source = ?", (name,))
        ran = run_hdap("report", "--json", cwd=folder, timeout=300)
        tally.add(ran.badly(code=0))
        tally.add(_badly(folder / "report.html", f"{name!r}, {other!r}"))
        command = json.loads(ran.out)["decision"]["steps"][0]["command"]
        tally.add("" if name in shlex.split(command) else f"a command is not quoted: {command}")
    return tally.outcome()


def ten_thousand_devices(folder: Path, cases: int) -> Outcome:
    """The page stays one that can be sent, and is made while one waits."""
    tally = Tally()
    extra = folder / "fleet.csv"
    _fleet(extra, [f"unit-{i:05}" for i in range(10_000)])
    db = _database(folder, extra, "huge")
    with sqlite3.connect(db) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(ingests)")]
        others = ", ".join(c for c in columns if c != "ingest_id")
        for _ in range(12):  # 2 become 8,192 files, as if every device had sent one of its own
            connection.execute(f"INSERT INTO ingests ({others}) SELECT {others} FROM ingests")
    started = time.perf_counter()
    ran = run_hdap("report", cwd=folder, timeout=600)
    took = time.perf_counter() - started
    tally.add(ran.badly(code=0))
    tally.add(_badly(folder / "report.html", "10,000 devices"))
    tally.add(f"10,000 devices: {took:.0f} s" if took > MOST_SECONDS else "")
    size = (folder / "report.html").stat().st_size
    tally.figures.append(f"10,000 devices, 8,192 files: {size / 1e6:.1f} MB in {took:.1f} s")
    return tally.outcome()


def every_state(folder: Path, cases: int) -> Outcome:
    """From nothing to an answer: each says first what is to do, and ends with a command."""
    tally = Tally()

    def look(state: str, says: str, command: str) -> None:
        ran = run_hdap("report", cwd=folder, timeout=300)
        tally.add(ran.badly(code=0, says=says))
        tally.add(_badly(folder / "report.html", state))
        first = _words((folder / "report.html").read_text(encoding="utf-8"))[:1500]
        told = " ".join(first.split())
        tally.add("" if says in told else f"{state}: the page does not open with {says!r}")
        last = ran.out.strip().splitlines()[-1]
        tally.add("" if command in last else f"{state}: ends with {last!r}, not with {command!r}")

    everyday = folder / "everyday.csv"
    _fleet(everyday, [f"unit-{i}" for i in range(24)], rows=3)
    run_hdap("ingest", str(everyday), cwd=folder)
    look("telemetry alone", "Nothing to ship of resnet50 yet", "hdap plan")
    run_hdap("ingest", str(FLEET), cwd=folder)
    look("pruned networks", "Nothing to ship of resnet50 yet", "hdap search")
    asked = ("search", "--model", "resnet50", "--flops", "1.0G", "--trials", "60")
    run_hdap(*asked, "--study", "high", cwd=folder, timeout=300)
    with sqlite3.connect(folder / "hdap.db") as connection:  # as a search of another floor left it
        connection.execute("UPDATE trials SET feasible = 0")
    look("a floor out of reach", "Ship nothing of study high", "hdap search")
    run_hdap(*asked, cwd=folder, timeout=300)
    look("an answer", "once it is measured", "hdap verify")
    timed = ("search", "--model", "resnet50", "--latency", "25ms", "--trials", "60")
    run_hdap(*timed, cwd=folder, timeout=300)
    look("a latency budget", "within 25 ms", "hdap verify")
    return tally.outcome()


ATTACKS = (
    Attack("hostile names", hostile_names),
    Attack("10,000 devices", ten_thousand_devices),
    Attack("every state", every_state),
)
