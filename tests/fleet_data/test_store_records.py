"""Every kind of record comes back from both databases as it went in."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError, NotFoundError
from hdap.fleet_data.ingest import ingest
from hdap.fleet_data.records import (
    ClusteringRecord,
    ClusterRecord,
    HeldOutRecord,
    ImportanceRecord,
    LearningRecord,
    StudyRecord,
    SurrogateRecord,
    TrialBatch,
)
from hdap.fleet_data.store import Store
from hdap.workflows.list_devices import list_devices

NOW = datetime(2026, 11, 21, 1, 2, 3, 456789, tzinfo=UTC)


def assert_same(one: object, other: object) -> None:
    assert type(one) is type(other)
    for name in one.__dataclass_fields__:  # type: ignore[attr-defined]
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=name)
            assert left.dtype.kind == right.dtype.kind
        elif isinstance(left, tuple) and left and hasattr(left[0], "__dataclass_fields__"):
            for a, b in zip(left, right, strict=True):
                assert_same(a, b)
        elif isinstance(left, float):
            np.testing.assert_equal(left, right)
        else:
            assert left == right, name


@pytest.fixture
def resnet(store: Store, architecture: Callable[[str], Architecture]) -> Architecture:
    found = architecture("resnet50")
    store.save_architecture(found)
    return found


def a_clustering(devices: int = 5) -> ClusteringRecord:
    return ClusteringRecord(
        algorithm="kmeans",
        parameters={"k": 2, "eps": np.float64(0.5), "names": ["a"]},
        seed=7,
        created_at=NOW,
        measurement_mark=123,
        stability=float("nan"),
        device_ids=np.array([f"gerät-{i}" for i in range(devices)], dtype=object),
        cluster=np.arange(devices) % 2,
        outlier=np.arange(devices) == 3,
        representative=np.arange(devices) < 2,
        factor=np.linspace(0.5, 1.5, devices),
        features=("offset", "slope"),
        fingerprint=np.random.default_rng(1).normal(size=(devices, 2)),
        clusters=(
            ClusterRecord(0, 3, 0.6, 1.0, 0.01, float("nan"), "fast", {"temperature_c": 40.5}),
            ClusterRecord(1, 2, 0.4, 1.6, 0.02, 0.9, "slower by 1.6x", {}),
        ),
    )


def a_study(clustering: int, name: str = "first") -> StudyRecord:
    return StudyRecord(
        name=name,
        model="resnet50",
        sampler="fleet",
        seed=2**40,
        objective="mean",
        flops_low=970_000_000,
        flops_high=1_000_000_000,
        kept_importance_floor=0.5,
        clustering_id=clustering,
        settings={"step": "auto", "fix": {"conv1": 64}},
        created_at=NOW,
    )


def some_trials(architecture: Architecture, numbers: range, clusters: int = 2) -> TrialBatch:
    n, rng = len(numbers), np.random.default_rng(numbers.start)
    figures = rng.uniform(1, 2, size=(7, n))
    latencies = rng.uniform(1, 2, size=(3, n, clusters))
    times = np.datetime64("2026-11-21T01:02:03.000004") + np.arange(n)
    return TrialBatch(
        number=np.arange(numbers.start, numbers.stop),
        counts=rng.integers(1, architecture.widths + 1, size=(n, len(architecture.groups))),
        flops=rng.integers(1, 2**33, size=n),
        parameters=rng.integers(1, 2**33, size=n),
        fleet_mean_ms=figures[0],
        fleet_mean_low_ms=figures[1],
        fleet_mean_high_ms=figures[2],
        fleet_p95_ms=figures[3],
        ucb_ms=figures[6],
        worst_cluster_ms=figures[4],
        worst_cluster=rng.integers(0, max(clusters, 1), size=n),
        kept_importance=figures[5],
        feasible=rng.uniform(size=n) < 0.8,
        cluster_ms=latencies[0],
        cluster_low_ms=latencies[1],
        cluster_high_ms=latencies[2],
        started_at=times,
        finished_at=times + np.timedelta64(5, "ms"),
        values=rng.uniform(size=(n, 2)),
        accuracy=rng.uniform(size=n),
    )


def test_an_architecture_comes_back(store: Store, resnet: Architecture) -> None:
    assert store.architecture("resnet50") == resnet
    (model,) = store.models()
    assert (model.model, model.digest) == ("resnet50", resnet.digest)
    assert (model.flops, model.parameters, model.width_groups) == (4_089_184_256, 25_557_032, 37)


def test_saving_an_architecture_again_replaces_it(store: Store, resnet: Architecture) -> None:
    store.save_architecture(replace(resnet, other_parameters=9))
    assert store.architecture("resnet50").other_parameters == 9
    assert len(store.models()) == 1


def test_an_unknown_model_is_answered_with_the_stored_ones(
    store: Store, resnet: Architecture
) -> None:
    with pytest.raises(NotFoundError, match=r"'resnet51'.*stored are: resnet50"):
        store.architecture("resnet51")


def test_the_newest_importance_comes_back(store: Store) -> None:
    first = ImportanceRecord("m", "pretrained", "d1", (np.array([0.5, 1.0]), np.array([1.0])))
    second = ImportanceRecord("m", "file.pth", "d1", (np.array([0.25]),))
    for record in (first, second):
        store.save_importance(record)
    assert store.importance("m").source == "file.pth"
    found = store.importance("m", "pretrained")
    for one, other in zip(found.curves, first.curves, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(NotFoundError, match=r"m from x.*pretrained"):
        store.importance("m", "x")


def test_importance_of_a_source_is_replaced(store: Store) -> None:
    for value in (1.0, 2.0):
        store.save_importance(ImportanceRecord("m", "s", "d", (np.array([value]),)))
    assert store.importance("m").curves[0].tolist() == [2.0]
    assert store.query("SELECT count(*) FROM importances").rows == ((1,),)


def test_a_clustering_comes_back(store: Store) -> None:
    record = a_clustering()
    key = store.save_clustering(record)
    expected = replace(record, id=key, parameters={"k": 2, "eps": 0.5, "names": ["a"]})
    assert_same(store.clustering(key), expected)
    assert store.save_clustering(record) > key
    assert store.clustering().id > key


def test_outliers_are_listed_before_devices_that_came_later(store: Store) -> None:
    store.save_clustering(a_clustering())
    names = [f"gerät-{n}" for n in range(5)] + ["new-0", "new-1"]
    ingest(store, pl.DataFrame({"device_id": names, "model": "m", "latency_ms": 1.0}))
    found = list_devices(store, limit=3)
    assert [row[0] for row in found.rows] == ["gerät-3", "gerät-4", "gerät-2"]


def test_a_clustering_of_nothing_comes_back(store: Store) -> None:
    empty = a_clustering(0)
    assert len(store.clustering(store.save_clustering(empty)).device_ids) == 0


def test_an_unknown_clustering_is_named(store: Store) -> None:
    with pytest.raises(NotFoundError, match="hdap cluster"):
        store.clustering()
    key = store.save_clustering(a_clustering())
    with pytest.raises(NotFoundError, match=f"stored are: {key}"):
        store.clustering(key + 9)


def test_surrogates_come_back_by_cluster_and_are_replaced(store: Store) -> None:
    clustering = store.save_clustering(a_clustering())
    record = SurrogateRecord(
        clustering_id=clustering,
        cluster=1,
        model="resnet50",
        architecture_digest="d",
        kind="fleet",
        created_at=NOW,
        measurement_mark=5,
        rows=100,
        configurations=50,
        mape=0.03,
        kendall_tau=float("nan"),
        coverage=0.9,
        dense_ms=50.5,
        warning="",
        payload=bytes(range(256)),
    )
    store.save_surrogates([record, replace(record, cluster=0)])
    store.save_surrogates([replace(record, mape=0.02)])
    found = store.surrogates("resnet50", clustering, "fleet")
    assert [one.cluster for one in found] == [0, 1]
    assert_same(found[1], replace(record, mape=0.02, id=found[1].id))
    assert store.surrogates("resnet50", clustering, "roofline") == ()


def test_what_surrogates_showed_of_themselves_comes_back_until_they_are_fitted_again(
    store: Store,
) -> None:
    clustering = store.save_clustering(a_clustering())
    fit = (clustering, "resnet50", "fleet")
    record = SurrogateRecord(
        clustering, 0, "resnet50", "d", "fleet", NOW, 5, 100, 50, 0.03, 0.9, 0.9, "", b"", 0, 50.5
    )
    said = (21.0, 19.0, 23.0)
    held = [HeldOutRecord(*fit, 0, 4_000_000_000, 3, measured, *said) for measured in (20.0, 29.0)]
    learning = [LearningRecord(*fit, rows, 0.3 / rows) for rows in (5, 10)]
    store.save_surrogates([replace(record, kind="roofline")])
    store.save_surrogates([record], held, learning)
    place = ("resnet50", clustering, "fleet")
    assert list(store.held_out(*place)) == held
    assert list(store.learning_curve(*place)) == learning
    assert [one.inside for one in store.held_out(*place)] == [True, False]
    assert store.held_out("resnet50", clustering, "roofline") == ()
    store.save_surrogates([record])
    assert store.held_out(*place) == ()
    assert store.learning_curve(*place) == ()


def test_a_study_comes_back_by_id_and_name_and_as_the_newest(
    store: Store, resnet: Architecture
) -> None:
    clustering = store.save_clustering(a_clustering())
    first = store.create_study(a_study(clustering))
    second = store.create_study(a_study(clustering, "second"))
    expected = replace(a_study(clustering), id=first)
    assert store.study(first) == store.study("first") == expected
    assert store.study().id == second
    assert [study.name for study in store.studies()] == ["first", "second"]
    with pytest.raises(NotFoundError, match="first, second"):
        store.study("third")


def test_a_study_name_is_taken_once(store: Store, resnet: Architecture) -> None:
    clustering = store.save_clustering(a_clustering())
    store.create_study(a_study(clustering))
    with pytest.raises(InputError, match="name='first'"):
        store.create_study(a_study(clustering))


def test_studies_that_are_added_at_once_get_names_of_their_own(
    store: Store, url: str, resnet: Architecture
) -> None:
    clustering = store.save_clustering(a_clustering())

    def add(_: int) -> str:
        with Store.open(url) as own:
            number = own.create_study(a_study(clustering), numbered=True, elsewhere=["first-2"])
            return own.study(number).name

    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(add, range(6)))
    assert sorted(names) == [f"first-{number}" for number in (1, 3, 4, 5, 6, 7)]


def test_a_study_needs_an_architecture(store: Store) -> None:
    with pytest.raises(NotFoundError, match="hdap model resnet50"):
        store.create_study(a_study(1))


def test_finishing_a_study_sets_its_state(store: Store, resnet: Architecture) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    store.finish_study(study, "stopped")
    assert store.study(study).state == "stopped"
    with pytest.raises(NotFoundError):
        store.finish_study(study + 1, "finished")


def test_trials_come_back_in_order_with_the_samplers_state(
    store: Store, resnet: Architecture
) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    assert len(store.trials(study)) == 0
    later, earlier = some_trials(resnet, range(30, 50)), some_trials(resnet, range(30))
    store.append_trials(study, later, {"generator": {"state": 2**100}})
    store.append_trials(study, earlier, {"step": 2})
    found = store.trials(study)
    for name in TrialBatch.__dataclass_fields__:
        both = np.concatenate([getattr(earlier, name), getattr(later, name)])
        np.testing.assert_array_equal(getattr(found, name), both, err_msg=name)
    assert store.study(study).sampler_state == {"step": 2}


def test_trials_that_another_process_stored_are_left_as_they_are(
    store: Store, resnet: Architecture
) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    first, second = some_trials(resnet, range(5)), some_trials(resnet, range(3, 9))
    store.append_trials(study, first, {})
    store.append_trials(study, second, {}, again=True)
    found = store.trials(study)
    assert found.number.tolist() == list(range(9))
    expected = np.concatenate([first.counts, second.counts[2:]])
    np.testing.assert_array_equal(found.counts, expected)


def test_accuracies_are_known_by_model_data_and_channels(store: Store) -> None:
    store.save_accuracies("m", "digits", ["a=1", "a=2"], np.array([0.5, 0.75]))
    store.save_accuracies("m", "digits", ["a=2", "a=3"], np.array([0.0, 1.0]))
    found = store.accuracies("m", "digits", ["a=3", "a=4", "a=2", "a=1"])
    np.testing.assert_array_equal(found, [1.0, np.nan, 0.75, 0.5])
    assert np.isnan(store.accuracies("m", "letters", ["a=1"])).all()
    assert np.isnan(store.accuracies("n", "digits", ["a=1"])).all()
    channels, every = store.accuracies_on("m", "digits")
    assert (channels, every.tolist()) == (("a=1", "a=2", "a=3"), [0.5, 0.75, 1.0])
    assert store.accuracies_on("m", "letters")[0] == ()
    assert store.accuracies("m", "digits", []).shape == (0,)


def test_huge_generator_states_survive(store: Store, resnet: Architecture) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    state = np.random.default_rng(3).bit_generator.state
    store.append_trials(study, some_trials(resnet, range(0)), state)
    assert store.study(study).sampler_state == state


def test_a_trial_number_is_taken_once(store: Store, resnet: Architecture) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    batch = some_trials(resnet, range(3))
    store.append_trials(study, batch, {})
    with pytest.raises(InputError, match=r"\[0, 1, 2\] again"):
        store.append_trials(study, batch, {"lost": True})
    assert len(store.trials(study)) == 3
    assert store.study(study).sampler_state == {}


def test_counts_must_fit_the_architecture(store: Store, resnet: Architecture) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    batch = some_trials(resnet, range(3))
    with pytest.raises(InputError, match=r"\(3, 37\)"):
        store.append_trials(study, replace(batch, counts=batch.counts[:, :36]), {})


def test_trials_of_a_study_without_clusters_come_back(store: Store, resnet: Architecture) -> None:
    study = store.create_study(a_study(store.save_clustering(a_clustering())))
    store.append_trials(study, some_trials(resnet, range(3), clusters=0), {})
    assert store.trials(study).cluster_ms.shape == (3, 0)
