"""Two that write the same at once: both succeed, and it is there once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import ImportanceRecord, SurrogateRecord
from hdap.fleet_data.store import Store
from tests.fleet_data.test_store_records import NOW, a_clustering

ROUNDS = 4
"""How often it is tried: without a lock three of four tries collided."""


@pytest.fixture
def resnet(architecture: Callable[[str], Architecture]) -> Architecture:
    return architecture("resnet50")


def together(url: str, write: Callable[[Store], object]) -> None:
    """Two stores of one database write, as two machines do. Raises what either of them raises."""
    start = threading.Barrier(2)

    def one(store: Store) -> None:
        start.wait()
        write(store)

    with Store.open(url) as first, Store.open(url) as second, ThreadPoolExecutor(2) as pool:
        list(pool.map(one, (first, second)))


def test_an_architecture(new_url: Callable[[], str], resnet: Architecture) -> None:
    for _ in range(ROUNDS):
        url = new_url()
        together(url, lambda store: store.save_architecture(resnet))
        with Store.open(url) as store:
            assert [model.model for model in store.models()] == ["resnet50"]


def test_an_importance(url: str, resnet: Architecture) -> None:
    curves = tuple(np.ones(int(width)) for width in resnet.widths)
    record = ImportanceRecord("resnet50", "w.pt", resnet.digest, curves)
    for _ in range(ROUNDS):
        together(url, lambda store: store.save_importance(record))
        with Store.open(url) as store:
            (count,) = store.query("SELECT count(*) FROM importances").rows
        assert count == (1,)


def test_surrogates(url: str) -> None:
    with Store.open(url) as store:
        clustering = store.save_clustering(a_clustering())
    of = ("resnet50", "d", "fleet", NOW)
    records = [
        SurrogateRecord(clustering, n, *of, 5, 100, 50, 0.03, 0.9, 0.9, "", b"") for n in range(3)
    ]
    for _ in range(ROUNDS):
        together(url, lambda store: store.save_surrogates(records))
    with Store.open(url) as store:
        found = store.surrogates("resnet50", clustering, "fleet")
    assert [record.cluster for record in found] == [0, 1, 2]


def test_rows_and_the_architecture_that_judges_them(url: str, resnet: Architecture) -> None:
    """The ingest holds the rows and then writes the model; the other must not go the other way."""

    def rows(device: str, milliseconds: float, channels: str) -> pl.DataFrame:
        latencies = [milliseconds + n for n in range(5)]
        columns = {"device_id": device, "model": "resnet50", "channels": channels}
        return pl.DataFrame({"latency_ms": latencies}).with_columns(
            **{name: pl.lit(text) for name, text in columns.items()}
        )

    with Store.open(url) as first, Store.open(url) as second, ThreadPoolExecutor(1) as pool:
        ingest(first, rows("slow", 5e7, ""))  # more than the network can take: it will be judged
        saving = []

        def trace(model: str) -> Architecture:
            saving.append(pool.submit(second.save_architecture, resnet))
            time.sleep(0.5)
            return resnet

        report = ingest(first, rows("new", 20.0, f"{resnet.groups[0].name}=8"), trace=trace)
        saving[0].result()
        assert report.added == 5
        assert first.set_aside() == second.set_aside() != ()
