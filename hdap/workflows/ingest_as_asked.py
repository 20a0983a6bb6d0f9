"""Ingesting with all that a person asked of it, at the terminal, in Python and in a watch."""

from functools import partial

from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.ingest import IngestReport, ingest
from hdap.networks.model_name_check import check_model_names
from hdap.networks.model_tracer import ModelTracer
from hdap.requests.ingest_request import IngestRequest


def as_asked(request: IngestRequest, say: Say) -> "partial[IngestReport]":
    """`ingest` of a store and a source, with the settings of `request`; torch traces the models."""
    return partial(
        ingest,
        trace=ModelTracer(say),
        max_rejected=request.max_rejected,
        units=request.units,
        facts=request.facts,
        reading=request.reading,
        check_models=check_model_names,
    )
