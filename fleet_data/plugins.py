"""Plug-in points: what hdap ships under a name, and what other packages add under theirs."""

import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from hdap.fleet_data.errors import InputError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Implementations of one interface by name: `own`, then those of installed packages.

    A package adds one with an entry point of the group `hdap.<point>`, for example in its
    pyproject.toml:

        [project.entry-points."hdap.samplers"]
        mine = "my_package.my_sampler:MINE"

    An entry point is imported when its name is asked for, never earlier. A name of hdap's own
    cannot be taken by another package.
    """

    def __init__(self, what: str, point: str, own: Mapping[str, T]) -> None:
        self.what = what
        self.point = point
        self._own = dict(own)
        self._loaded: dict[str, T] = {}

    @cached_property
    def _others(self) -> dict[str, EntryPoint]:
        found = entry_points(group=f"hdap.{self.point}")
        return {entry.name: entry for entry in found if entry.name not in self._own}

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._others

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    def __getitem__(self, name: str) -> T:
        """The implementation called `name`.

        Raises InputError, which names what there is, for any other name and for an entry point that
        cannot be imported.
        """
        if name in self._own:
            return self._own[name]
        if name not in self._others:
            near = difflib.get_close_matches(name, list(self), n=1)
            hint = f": did you mean `{near[0]}`?" if near else ": choose one of these"
            raise InputError(
                f"{self.what} must be one of {', '.join(self)}, but got {name!r}{hint}"
            )
        if name not in self._loaded:
            self._loaded[name] = self._load(self._others[name])
        return self._loaded[name]

    def add(self, name: str, implementation: T) -> None:
        """Add one for this process alone, as a notebook does; `InputError` if the name is taken."""
        if name in self:
            raise InputError(f"{self.what} must have a new name, but there is a {name!r} already")
        self._own[name] = implementation

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._others

    def _load(self, entry: EntryPoint) -> T:
        try:
            made: T = entry.load()
        except Exception as error:  # code of another package: anything may come
            raise InputError(
                f"{self.what} {entry.name!r} must be importable, but {entry.value} of package "
                f"{entry.dist.name if entry.dist else '?'} failed with "
                f"{type(error).__name__}: {error}; repair or remove that package"
            ) from error
        return made
