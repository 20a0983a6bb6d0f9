"""No cluster is of two runtimes or precisions, and who runs another thing is no outlier."""

import numpy as np

from hdap.clustering.apart_by_software import kept_apart, kernel_codes
from hdap.fleet_data.records import Ints
from hdap.fleet_data.software import format_software

POINTS = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])


def apart(cluster: list[int], outlier: list[int], *codes: list[int]) -> tuple[list[int], list[int]]:
    columns: list[Ints] = [np.array(one) for one in codes]
    found, odd = kept_apart(POINTS, np.array(cluster), np.array(outlier, dtype=bool), columns)
    return found.tolist(), odd.astype(int).tolist()


def test_versions_threads_and_firmware_do_not_part_devices() -> None:
    texts = [
        {"runtime": "onnxruntime 1.32", "precision": "float32", "firmware": "1"},
        {"runtime": "onnxruntime-1.31.1-cpu-4t", "precision": "float32", "threads": "4"},
        {"runtime": "onnxruntime-1.31.1-cuda-1t", "precision": "float32"},
        {},
    ]
    software = np.array([format_software(text) for text in texts], dtype=object)
    runtime, precision = kernel_codes(software)
    assert runtime[0] == runtime[1] > 0
    assert runtime[2] not in (runtime[0], 0)
    assert precision.tolist() == [1, 1, 1, 0]


def test_one_runtime_changes_nothing() -> None:
    labels, odd = [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1]
    assert apart(labels, odd, [1] * 6) == (labels, odd)
    assert apart(labels, odd, [0, 1, 1, 1, 0, 1]) == (labels, odd)


def test_two_runtimes_in_one_cluster_become_two() -> None:
    assert apart([0] * 6, [0] * 6, [1, 1, 1, 2, 2, 2])[0] == [0, 0, 0, 1, 1, 1]


def test_who_does_not_say_goes_with_the_most_of_its_cluster() -> None:
    assert apart([0] * 6, [0] * 6, [1, 0, 2, 2, 2, 0])[0] == [0, 1, 1, 1, 1, 1]


def test_a_first_device_of_another_runtime_is_a_cluster_and_no_outlier() -> None:
    found, odd = apart([0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 2])
    assert found == [0, 0, 0, 0, 0, 1]
    assert odd == [0] * 6


def test_an_outlier_whose_like_have_a_cluster_is_an_outlier_of_that() -> None:
    found, odd = apart([0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1], [1, 1, 1, 2, 2, 2])
    assert found == [0, 0, 0, 1, 1, 1]
    assert odd == [0, 0, 0, 0, 0, 1]


def test_precision_parts_what_the_runtime_left_together() -> None:
    found, _ = apart([0] * 6, [0] * 6, [1] * 6, [1, 1, 1, 2, 2, 2])
    assert found == [0, 0, 0, 1, 1, 1]
