"""One set of weights that runs as many networks: levels, their training, their checkpoint."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdap.elastic.elastic_checkpoint import load_elastic
    from hdap.elastic.elastic_model import ElasticModel

__all__ = ["ElasticModel", "load_elastic"]


def __getattr__(name: str) -> Any:
    if name == "ElasticModel":
        from hdap.elastic.elastic_model import ElasticModel

        return ElasticModel
    if name == "load_elastic":
        from hdap.elastic.elastic_checkpoint import load_elastic

        return load_elastic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
