"""The controller as the one file that travels: what it shares with `measure.py` is copied in."""

import ast
from pathlib import Path

from hdap.elastic import controller
from hdap.measuring import measure

SHARED = "hdap.measuring.measure"


def controller_source() -> str:
    """`controller.py` with the functions that it imports from `measure.py` in their place.

    Needs Python 3.9 and numpy, nothing of hdap.
    """
    text = Path(controller.__file__).read_text(encoding="utf-8")
    body = ast.parse(text).body
    found = [x for x in body if isinstance(x, ast.ImportFrom) and x.module == SHARED]
    (shared,) = found
    imports, functions = _needed({alias.name for alias in shared.names})
    lines = text.splitlines()
    first, last = shared.lineno - 1, shared.end_lineno or shared.lineno
    known = set(lines)
    copied = [line for line in imports if line not in known]
    note = f"# From {SHARED}, so that this file travels alone."
    return "\n".join([*lines[:first], *copied, "", note, "", *functions, "", *lines[last:]]) + "\n"


def _needed(names: set[str]) -> tuple[list[str], list[str]]:
    """Imports and sources, in their order in measure.py, of these functions and what they call."""
    text = Path(measure.__file__).read_text(encoding="utf-8")
    tree = ast.parse(text)
    defined = {x.name: x for x in tree.body if isinstance(x, ast.FunctionDef)}
    wanted, new = set(names), set(names)
    used: set[str] = set()
    while new:
        inside = {n.id for name in new for n in ast.walk(defined[name]) if isinstance(n, ast.Name)}
        used |= inside
        new = (inside & defined.keys()) - wanted
        wanted |= new
    sources = [
        "\n\n" + (ast.get_source_segment(text, node) or "")
        for name, node in defined.items()
        if name in wanted
    ]
    imports = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            imports += [f"import {a.name}" for a in node.names if a.name in used]
        elif isinstance(node, ast.ImportFrom) and node.module == "collections.abc":
            here = [a.name for a in node.names if a.name in used]
            imports += [f"from collections.abc import {', '.join(here)}"] if here else []
    return imports, sources
