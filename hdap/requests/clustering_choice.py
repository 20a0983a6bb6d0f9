"""What a person asks of a clustering."""

from dataclasses import dataclass
from typing import Annotated

from hdap.requests.setting import Setting
from hdap.requests.shared_settings import Seed


@dataclass(frozen=True)
class ClusteringChoice:
    """How to cluster; with `algorithm` None as the latest clustering was made."""

    algorithm: Annotated[
        str | None,
        Setting("hdbscan, dbscan, kmeans or gmm.", choices=("hdbscan", "dbscan", "kmeans", "gmm")),
    ] = None
    clusters: Annotated[
        int | None, Setting("How many (kmeans, gmm); chosen by itself if left out.", low=1)
    ] = None
    resamples: Annotated[int, Setting("Resamples that the stability is judged by.", low=0)] = 20
    seed: Seed = 0
