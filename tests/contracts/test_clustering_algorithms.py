import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.algorithms.registry import ALGORITHMS
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import Floats, Ints

ONE_DENSITY_SCALE = {"dbscan"}
"""The base line as HDAP runs it: it makes outliers of kinds smaller than five."""


@pytest.fixture(params=sorted(ALGORITHMS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def blobs(sizes: list[int], seed: int = 0, width: int = 3) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.zeros((len(sizes), width))
    centres[:, 0] = 14.0 * np.arange(len(sizes))
    return centres[truth] + rng.normal(0, 0.6, (len(truth), width)), truth


def fit(name: str, points: Floats, clusters: int | None = None) -> Ints:
    return ALGORITHMS[name]().fit(points, clusters, np.random.default_rng(0))


def test_the_registry_names_every_algorithm_as_it_names_itself(name: str) -> None:
    assert ALGORITHMS[name]().name == name


def test_labels_are_numbers_without_gaps(name: str) -> None:
    labels = fit(name, blobs([30, 20, 10])[0])
    found = np.unique(labels[labels >= 0])
    assert labels.dtype == np.int64
    assert labels.min() >= -1
    np.testing.assert_array_equal(found, np.arange(len(found)))


def test_points_are_not_written_to(name: str) -> None:
    points, _ = blobs([20, 20])
    before = points.copy()
    points.flags.writeable = False
    fit(name, points)
    np.testing.assert_array_equal(points, before)


def test_equal_seeds_give_equal_labels(name: str) -> None:
    points, _ = blobs([40, 15, 9], seed=3)
    np.testing.assert_array_equal(fit(name, points), fit(name, points))


def test_kinds_far_apart_are_told_apart(name: str) -> None:
    points, truth = blobs([60, 40, 30], width=1)
    labels = fit(name, points)
    assert adjusted_rand_score(truth[labels >= 0], labels[labels >= 0]) == 1.0
    assert np.mean(labels < 0) < 0.05


def test_the_order_of_points_does_not_matter(name: str) -> None:
    points, _ = blobs([30, 12, 8], seed=1)
    order = np.random.default_rng(5).permutation(len(points))
    assert adjusted_rand_score(fit(name, points)[order], fit(name, points[order])) == 1.0


def test_equal_points_are_one_cluster(name: str) -> None:
    assert fit(name, np.zeros((12, 4))).tolist() == [0] * 12


@pytest.mark.parametrize("clusters", [1, 2, 3])
def test_a_number_that_is_asked_for_is_given(name: str, clusters: int) -> None:
    points, _ = blobs([25, 25, 25], width=1)
    labels = fit(name, points, clusters)
    assert len(np.unique(labels[labels >= 0])) == clusters


@pytest.mark.parametrize("count", [3, 4, 7])
def test_few_points_are_enough(name: str, count: int) -> None:
    assert len(fit(name, blobs([count])[0])) == count


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - ONE_DENSITY_SCALE))
@pytest.mark.parametrize("seed", range(4))
def test_points_of_one_kind_are_one_cluster(name: str, seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 0.7, (60, 3))
    assert fit(name, points).max() == 0


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - ONE_DENSITY_SCALE))
def test_a_kind_of_two_among_sixteen_is_found(name: str) -> None:
    points, truth = blobs([9, 5, 2])
    labels = fit(name, points)
    np.testing.assert_array_equal(labels[truth == 2], labels[truth == 2][:1].repeat(2))
    assert adjusted_rand_score(truth, labels) == 1.0


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - ONE_DENSITY_SCALE))
def test_a_point_far_from_all_others_is_an_outlier(name: str) -> None:
    points, _ = blobs([30, 20])
    labels = fit(name, np.vstack([points, [[7.0, 60.0, -60.0]]]))
    assert labels[-1] == -1
    assert (labels[:-1] >= 0).all()


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"hdbscan, dbscan, kmeans, gmm, but got 'ward'"):
        ALGORITHMS["ward"]


def test_density_has_only_so_many_peaks() -> None:
    points, _ = blobs([30], width=1)
    with pytest.raises(NotEnoughDataError, match=r"clusters=25.*`kmeans`"):
        fit("hdbscan", points, 25)
