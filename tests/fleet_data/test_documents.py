import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdap.elastic.level_file import LevelFile
from hdap.fleet_data.documents import (
    JsonDocument,
    document_digest,
    from_plain,
    parse_json,
    read_document,
    write_document,
)
from hdap.fleet_data.errors import HdapError, InputError
from hdap.fleet_data.measuring_bundle import MeasuringBundle
from hdap.fleet_data.plan_file import PlanFile
from hdap.networks.manifest import ElasticManifest, NetworkManifest
from hdap.portfolio.portfolio_bundle import PortfolioFile
from hdap.portfolio.sparse_training import TrainingRecord
from hdap.requests.search_request import SearchRequest
from hdap.simulation.calibrated import Calibration
from hdap.simulation.fleet_folder import SimulationFile
from hdap.workflows.compression_journal import Journal

SAMPLES = Path(__file__).resolve().parents[1] / "data" / "documents"
KINDS: dict[str, type[JsonDocument]] = {
    "model.json": NetworkManifest,
    "elastic-model.json": NetworkManifest,
    "levels.json": LevelFile,
    "compression.json": Journal,
    "portfolio-training.json": TrainingRecord,
    "portfolio.json": PortfolioFile,
    "manifest.json": MeasuringBundle,
    "plan.json": PlanFile,
    "simulation.json": SimulationFile,
    "calibrated.json": Calibration,
}
"""Every kind of document by a file that an earlier hdap wrote."""

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**400, -(10**400), 2**63, 1e308, "\ud800", "$", "\n"])
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


def _every_kind(value: type[JsonDocument]) -> set[type[JsonDocument]]:
    return {value}.union(*map(_every_kind, value.__subclasses__()))


def test_every_kind_of_document_has_a_sample() -> None:
    covered = {*KINDS.values(), ElasticManifest}
    product = {kind for kind in _every_kind(JsonDocument) if kind.__module__.startswith("hdap.")}
    assert product == covered | {JsonDocument}
    assert set(KINDS) | {"study-settings.json"} == {path.name for path in SAMPLES.iterdir()}


def _without_what_is_new(written: Any, earlier: Any) -> bool:
    """Whether all of an earlier document is written as it was; later fields may be added."""
    if isinstance(earlier, dict):
        return all(k in written and _without_what_is_new(written[k], v) for k, v in earlier.items())
    if isinstance(earlier, list):
        same = len(written) == len(earlier)
        return same and all(map(_without_what_is_new, written, earlier))
    return bool(written == earlier)


@pytest.mark.parametrize("name", KINDS)
def test_files_of_an_earlier_hdap_are_read_and_written_alike(name: str, tmp_path: Path) -> None:
    found = read_document(SAMPLES / name, KINDS[name])
    write_document(tmp_path / "new" / name, found)
    assert read_document(tmp_path / "new" / name, KINDS[name]) == found
    written = json.loads((tmp_path / "new" / name).read_text())
    assert _without_what_is_new(written, json.loads((SAMPLES / name).read_text()))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_an_elastic_checkpoint_is_read_with_its_levels() -> None:
    found = read_document(SAMPLES / "elastic-model.json", NetworkManifest)
    assert isinstance(found, ElasticManifest)
    assert len(found.levels) == len(found.accuracies) == 2


def test_settings_of_a_stored_study_are_what_was_asked() -> None:
    settings = json.loads((SAMPLES / "study-settings.json").read_text())
    del settings["importance"]
    found = from_plain(settings, SearchRequest, "what was asked", "search again")
    assert (found.flops, found.trials) == ("4157328", 60)
    with pytest.raises(InputError, match=r"`\$.trials` is \"many\": expected `int`, got `str`"):
        from_plain(settings | {"trials": "many"}, SearchRequest, "what was asked", "search again")


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    steps = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    places = [place for step in steps for place in _places(value[step], (*path, step))]
    return [path, *places] if path else places


def _changed(content: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """One place of a document with another value, gone, or with a key more."""
    *outer, last = draw(st.sampled_from(_places(content)))
    at = content
    for step in outer:
        at = at[step]
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            at[last] = draw(JSON)
        case "remove":
            del at[last]
        case _ if isinstance(at, dict):
            at[draw(st.text(max_size=9))] = draw(JSON)
        case _:
            at.insert(int(last), draw(JSON))
    return content


@given(name=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_changed_document_is_read_whole_or_refused_in_one_line(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = _changed(json.loads((SAMPLES / name).read_text()), data.draw)
    file = tmp_path_factory.getbasetemp() / name
    if KINDS[name].SEALED:
        content["digest"] = document_digest(content)
    file.write_text(json.dumps(content))
    _read_or_refused(file, KINDS[name], content)


def _or_line(read: Callable[[], Any]) -> Any:
    """What is read, else the one line of the error."""
    try:
        return read()
    except HdapError as error:
        line = str(error)
    assert len(line.splitlines()) == 1
    return line


def _read_or_refused(file: Path, kind: type[JsonDocument], content: Any = None) -> None:
    found = _or_line(lambda: read_document(file, kind))
    if isinstance(found, str):
        assert found.startswith(f"{file} must be {kind.WHAT}, but ")
        assert found.endswith(kind.REMEDY)
        return
    write_document(file, found)
    assert read_document(file, kind) == found
    if content is not None:  # what has a default may be left out, nothing may get lost
        assert set(content) <= set(json.loads(file.read_text()))


@given(
    kind=st.sampled_from(list(KINDS.values())),
    content=JSON.map(json.dumps).map(str.encode)
    | st.binary(max_size=60)
    | st.integers(1, 200_000).map(lambda depth: b"[" * depth)
    | st.integers(1, 3_000).map(lambda depth: b'{"levels":' * depth + b"1" + b"}" * depth),
)
def test_garbage_is_refused_in_one_line(
    kind: type[JsonDocument], content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_document(file, kind)
    assert len(str(refused.value).splitlines()) == 1


@given(content=JSON.map(json.dumps).map(str.encode) | st.binary(max_size=60))
def test_a_text_is_json_or_refused_in_one_line(content: bytes) -> None:
    _or_line(lambda: parse_json(content, "the text", "write it again"))


@dataclass(frozen=True)
class _Point:
    at: float
    tags: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Sketch(JsonDocument):
    WHAT = "a sketch"
    REMEDY = "draw again"
    FORMAT = 3
    KIND = "sketch"

    points: tuple[_Point, ...]
    note: str = ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"\xff{}", "its byte 0 is no UTF-8"),
        (b"{", "it is no JSON (Expecting property name"),
        (b"[1]", "it holds [1], not an object"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"9" * 5000, "it is no JSON (Exceeds the limit"),
        (b'{"kind": "letter"}', 'its kind is "letter", not "sketch"'),
        (b'{"kind": "sketch", "format": true}', "its format is true, not 3"),
        (b"{HEAD}", "`$` is {}: object missing required field `points`"),
        (b'{HEAD, "points": [], "x": 1}', "it has a key that is unknown, `$.x`"),
        (b'{HEAD, "points": [], "a\\nb": 1}', 'it has a key that is unknown, `$["a\\nb"]`'),
        (b'{HEAD, "points": [4]}', "`$.points[0]` is 4: expected `object`, got `int`"),
        (
            b'{HEAD, "points": [{"at": NaN, "tags": {}}]}',
            "`$.points[0].at` is nan: expected a finite number",
        ),
        (
            b'{HEAD, "points": [{"at": 1e999, "tags": {}}]}',
            "`$.points[0].at` is inf: expected a finite number",
        ),
        (
            b'{HEAD, "points": [{"at": 1, "tags": {"a": {"b": 1, "c": "d"}}}]}',
            '`$.points[0].tags["a"]["c"]` is "d": expected `int`, got `str`',
        ),
        (
            b'{HEAD, "points": [{"at": 1, "tags": {"a": {"b": 9999999999999999999999}}}]}',
            "`$.points[0].tags.a.b` is 9999999999999999999999: expected a number of 64 bits",
        ),
    ],
)
def test_a_line_says_where_and_what(text: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "sketch.json"
    head = b'"kind": "sketch", "format": 3'
    file.write_bytes(text.replace(b"HEAD", head).replace(b"{,", b"{"))
    with pytest.raises(InputError) as refused:
        read_document(file, _Sketch)
    assert str(refused.value).startswith(f"{file} must be a sketch, but {told}")
    assert str(refused.value).endswith("; draw again")


def test_a_file_that_is_not_there_or_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must be a sketch, but it cannot be read \(No such file"):
        read_document(tmp_path / "none.json", _Sketch)
    with pytest.raises(InputError, match="it cannot be read"):
        read_document(tmp_path / "a\0b", _Sketch)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be writable"):
        write_document(tmp_path / "file" / "sketch.json", _Sketch(()))


def test_what_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    bad = _Sketch((_Point(float("nan"), {}),))
    with pytest.raises(InputError, match=r"`\$.points\[0\].at` is nan"):
        write_document(tmp_path / "sketch.json", bad)
    assert list(tmp_path.iterdir()) == []


def test_the_last_good_file_survives_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sketch.json"
    write_document(file, _Sketch((), "first"))

    def failing(self: Path, target: Path) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(InputError, match="Input/output error"):
        write_document(file, _Sketch((), "second"))
    assert read_document(file, _Sketch).note == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    write_document(tmp_path / "sketch.json", _Sketch((), "caf\udce9.pt"))
    assert read_document(tmp_path / "sketch.json", _Sketch).note == "caf\udce9.pt"


def test_a_wrong_value_leaves_what_was_given_as_it_was() -> None:
    given_value = {"at": 1.0, "tags": {"a": {"b": 1, "c": "d"}, "e": {}}}
    copy = json.loads(json.dumps(given_value))
    with pytest.raises(InputError):
        from_plain(given_value, _Point, "a point", "draw again")
    assert given_value == copy
    assert msgspec.convert({"at": 1.0, "tags": {}}, _Point) == _Point(1.0, {})
