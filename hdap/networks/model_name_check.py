"""Names of models that timm has not: they are seen before the rows of telemetry are stored."""

import difflib
import re
import shlex
from collections.abc import Collection

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.model_names import ModelName, model_name

_LIKENESS = 0.75


def check_model_names(models: Collection[str]) -> tuple[str, ...]:
    """Warnings of names that are like one of timm's, a line each.

    Factories and programs are left alone, and so is a name that is like none: it may be anybody's
    own. Raises InputError for a name that differs from one of timm's in capitals and signs alone.
    """
    names = [name for name in map(_name, sorted(models)) if name.kind == "timm"]
    if not names:
        return ()
    import timm  # and torch, which ingests of known models need not wait for

    known = timm.list_models()
    plain = {_plain(one): one for one in known}
    warnings = []
    for name in names:
        if name.base in known or timm.is_model(name.base):
            continue
        same = plain.get(_plain(name.base))
        if same is not None:
            raise InputError(
                f"models must have timm's names, but the telemetry has {name}: did you mean "
                f"{same}? {_alias(name, same)}; if it is another network, "
                f"{_alias(name, name.base)}; nothing of it is stored"
            )
        near = difflib.get_close_matches(name.base.lower(), known, n=1, cutoff=_LIKENESS)
        if near:
            warnings.append(
                f"{name}: timm has no model of that name, did you mean {near[0]}? its rows are "
                f"kept under the name that they came with; {_alias(name, near[0])}"
            )
    return tuple(warnings)


def _name(text: str) -> ModelName:
    try:
        return model_name(text)
    except InputError:
        return ModelName(text)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _alias(name: ModelName, base: str) -> str:
    pair = f"{name}={ModelName(base, name.shape)}"
    return f"--model-alias {shlex.quote(pair)}"
