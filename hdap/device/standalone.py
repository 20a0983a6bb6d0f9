"""A module as the one file that travels: what it imports of hdap is copied into it."""

import ast
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class _Module:
    """A module's text: its own definitions, and what imports bind in it."""

    name: str
    lines: list[str]
    defined: dict[str, ast.stmt] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    """Name -> line that imports it from elsewhere."""
    ours: dict[str, str] = field(default_factory=dict)
    """Name -> module of hdap that it comes from."""

    @classmethod
    def read(cls, name: str, file: str) -> "_Module":
        text = Path(file).read_text(encoding="utf-8")
        made = cls(name, text.splitlines())
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                made.defined[node.name] = node
            elif isinstance(node, ast.Assign):
                names = [n for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
                made.defined.update((n.id, node) for n in names)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                made.defined[node.target.id] = node
            elif isinstance(node, ast.Import):
                made.outside.update((a.name, f"import {a.name}") for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                for name in [alias.name for alias in node.names]:
                    if _is_ours(node):
                        made.ours[name] = str(node.module)
                    else:
                        made.outside[name] = f"from {node.module} import {name}"
        return made

    def source(self, node: ast.stmt) -> str:
        """With its decorators, which `ast.get_source_segment` leaves out."""
        marks = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(mark.lineno for mark in marks)])
        return "\n".join(self.lines[first - 1 : node.end_lineno])


def standalone(file: str | None) -> str:
    """The text of a module with what it imports of hdap, and what that needs, in its place.

    Imports from hdap stand together, after all others. Names are unique over all these modules.
    """
    module = _Module.read("", str(file))
    nodes = [x for x in ast.parse("\n".join(module.lines)).body if _is_ours(x)]
    wanted: dict[str, tuple[_Module, set[str]]] = {}
    for name, origin in module.ours.items():
        _want(origin, name, wanted)
    taken = [name for _, names in wanted.values() for name in names] + list(module.defined)
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise ValueError(f"names must be unique in the one file, but there are two {twice[0]}")
    imports, copied = [], []
    for origin in _resting_first(wanted):
        other, names = wanted[origin]
        chosen = {id(other.defined[name]): other.defined[name] for name in names}
        inside = {n.id for x in chosen.values() for n in ast.walk(x) if isinstance(n, ast.Name)}
        imports += [x for n, x in other.outside.items() if n in inside and n not in module.outside]
        copied += ["", f"# From {origin}, so that this file travels alone.", ""]
        ordered = sorted(chosen.values(), key=lambda node: node.lineno)
        copied += ["\n\n" + other.source(node) for node in ordered]
    first, last = nodes[0].lineno - 1, nodes[-1].end_lineno or nodes[-1].lineno
    parts = [*module.lines[:first], *dict.fromkeys(imports), *copied, "", *module.lines[last:]]
    return "\n".join(parts) + "\n"


def _is_ours(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hdap.")


def _want(origin: str, name: str, wanted: dict[str, tuple[_Module, set[str]]]) -> None:
    """Add a definition of a module and all that it uses."""
    if origin not in wanted:
        spec = find_spec(origin)
        assert spec is not None
        wanted[origin] = (_Module.read(origin, str(spec.origin)), set())
    module, names = wanted[origin]
    if name in names:
        return
    names.add(name)
    for used in {n.id for n in ast.walk(module.defined[name]) if isinstance(n, ast.Name)}:
        if used in module.ours:
            _want(module.ours[used], used, wanted)
        elif used in module.defined:
            _want(origin, used, wanted)


def _resting_first(wanted: dict[str, tuple[_Module, set[str]]]) -> list[str]:
    """Modules after those that they import."""
    ordered: list[str] = []

    def add(origin: str) -> None:
        for other in wanted[origin][0].ours.values():
            if other in wanted and other not in ordered:
                add(other)
        if origin not in ordered:
            ordered.append(origin)

    for origin in wanted:
        add(origin)
    return ordered
