"""Variants from the levels of an elastic network: each as a plain network of its own."""

import math
from pathlib import Path

from hdap.elastic.elastic_checkpoint import load_elastic_checkpoint
from hdap.networks.tracing import trace
from hdap.portfolio.candidates import Candidate, Candidates, importance_in, require_same


def from_elastic(folder: Path, model: str | None) -> Candidates:
    """One network a level of the elastic checkpoint in `folder`.

    Raises InputError and NotFoundError as `load_elastic_checkpoint`.
    """
    loaded = load_elastic_checkpoint(folder, model=model)
    elastic, manifest = loaded.model, loaded.manifest
    architecture = trace(manifest.model)
    require_same(architecture, manifest)
    known = manifest.accuracies or (math.nan,) * len(elastic.levels)
    run = manifest.tunings[-1].run if manifest.tunings else None
    networks = tuple(
        Candidate(
            f"level {level}",
            elastic.materialise(level),
            counts,
            {
                "from": "elastic",
                "checkpoint": str(folder.absolute()),
                "level": level,
                "mode": manifest.mode,
                "run": run,
                "weights_sha256": manifest.safetensors_sha256,
                "seed": manifest.seed,
            },
            accuracy,
        )
        for level, (counts, accuracy) in enumerate(zip(elastic.levels.counts, known, strict=True))
    )
    importance = importance_in(networks[-1].module, elastic.architecture)
    return Candidates("elastic", architecture, importance, networks)
