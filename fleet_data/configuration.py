"""Configurations as text: `conv1=56;layer1.0.conv1=40`, and back.

Groups that are left out keep all channels, so the empty text is the dense model. The canonical text
names groups in the architecture's order and leaves out those at full width. A text is taken whole
or not at all: half of a damaged list would be another network.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import polars as pl

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import NotFoundError

BLANK = " \t"
"""What may stand around names, counts and semicolons of a list, and nothing else may."""
_SHOWN = 60
_LAST_SEPARATOR = r"([^; \t])[ \t]*;$"
_NOT_ON_A_LINE = r"[\p{Cc}\p{Zl}\p{Zp}--\t]"
_SUGGESTED_NAMES = 50  # of a hostile file, only so many unknown names get a suggestion


@dataclass(frozen=True)
class ParsedChannels:
    """`counts` is n x groups (dense where there is an error), `errors` what is wrong or None."""

    counts: Counts
    errors: tuple[str | None, ...]


def parse_channels(architecture: Architecture, texts: Sequence[str]) -> ParsedChannels:
    """Channel counts of n texts; never raises, whatever the texts hold.

    A member's name stands for its group as long as all members named agree. An error says which
    rule is broken: no list on one line, unknown name, a count that is no integer, below 1, above
    the width or not a multiple, a name given twice, members of one group that differ.
    """
    # polars holds UTF-8, and half of a surrogate pair, as JSON may bring, is none
    pairs = _pairs([text.encode(errors="replace").decode() for text in texts])
    named = _with_groups(pairs, architecture)
    checked = _with_errors(named, architecture)
    errors: list[str | None] = [None] * len(texts)
    bad = checked.filter(pl.col("error").is_not_null())
    for row, error in bad.unique("row", keep="first", maintain_order=True).iter_rows():
        errors[row] = error
    counts = np.tile(architecture.widths, (len(texts), 1))
    good = named.join(bad.select("row").unique(), on="row", how="anti")
    rows, groups = good["row"].to_numpy(), good["group"].to_numpy()
    counts[rows, groups] = good["count"].to_numpy()
    return ParsedChannels(counts, tuple(errors))


def format_channels(architecture: Architecture, counts: Counts) -> list[str]:
    """The canonical text of each row of `counts` (n x groups)."""
    rows, groups = np.nonzero(counts != architecture.widths)
    names = pl.Series([group.name for group in architecture.groups], dtype=pl.String)
    pruned = pl.DataFrame({"row": rows, "count": counts[rows, groups]}).with_columns(
        pl.concat_str(names.gather(groups).alias("name"), pl.lit("="), pl.col("count")).alias(
            "text"
        )
    )
    joined = pruned.group_by("row", maintain_order=True).agg(pl.col("text").str.join(";"))
    texts = [""] * len(counts)
    for row, text in joined.iter_rows():
        texts[row] = text
    return texts


def matching_groups(architecture: Architecture, patterns: Sequence[str]) -> tuple[str, ...]:
    """Width groups whose name, or the name of a layer in them, is like one of `patterns`.

    `*` stands for anything, dots included; a name alone stands for what is inside it too:
    `backbone` for `backbone.stem.conv`. Raises `NotFoundError` for a pattern that none is like.
    """
    found: set[str] = set()
    for pattern in patterns:
        like = [
            group.name
            for group in architecture.groups
            for name in (group.name, *group.members)
            if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
        ]
        if not like:
            raise NotFoundError(
                f"a pattern must be like a width group of {architecture.model}, but none is like "
                f"{pattern!r}; list them: hdap model {architecture.model}"
            )
        found.update(like)
    return tuple(group.name for group in architecture.groups if group.name in found)


def _pairs(texts: Sequence[str]) -> pl.DataFrame:
    """One line a `name=count`: row, pair, name, text of the count."""
    column = pl.Series("pair", list(texts), dtype=pl.String).str.strip_chars(BLANK)
    # a list may end with its separator, which may not stand alone or twice
    pairs = column.str.replace(_LAST_SEPARATOR, "${1}").str.split(";")
    frame = pl.DataFrame({"row": np.arange(len(texts)), "pair": pairs}).filter(column != "")
    pair, parts = pl.col("pair"), pl.col("pair").str.splitn("=", 2)
    count = parts.struct.field("field_1")
    return (
        frame.explode("pair", empty_as_null=False)
        .with_columns(pair.str.strip_chars(BLANK))
        .with_columns(
            pl.when(count.is_not_null())
            .then(parts.struct.field("field_0").str.strip_chars(BLANK))
            .alias("name"),
            count.str.strip_chars(BLANK).alias("digits"),
        )
    )


def _with_groups(pairs: pl.DataFrame, architecture: Architecture) -> pl.DataFrame:
    aliases = pl.DataFrame(
        {
            "name": pl.Series(list(architecture.index), dtype=pl.String),
            "group": pl.Series(list(architecture.index.values()), dtype=pl.Int64),
        }
    )
    limits = pl.DataFrame(
        {
            "group": np.arange(len(architecture.groups)),
            "width": architecture.widths,
            "multiple": architecture.multiples,
        }
    )
    is_integer = pl.col("digits").str.contains(r"^-?[0-9]{1,18}$")
    count = pl.when(is_integer).then(pl.col("digits")).cast(pl.Int64, strict=False)
    return (
        pairs.join(aliases, on="name", how="left", maintain_order="left")
        .join(limits, on="group", how="left", maintain_order="left")
        .with_columns(count.alias("count"))
    )


def _with_errors(named: pl.DataFrame, architecture: Architecture) -> pl.DataFrame:
    """Row and error (or null) of each pair."""
    count, width, name = pl.col("count"), pl.col("width"), _shown("name")
    multiple = pl.col("multiple")
    agreed = count.n_unique().over("row", "group") == 1
    rules = (
        (
            pl.col("pair").str.contains(_NOT_ON_A_LINE),
            pl.lit("must be one line of name=count, got a line break or another control character"),
        ),
        (pl.col("name").is_null(), pl.format("`{}` must be name=count", _shown("pair"))),
        (
            pl.col("group").is_null(),
            pl.format("the model has no width group `{}`{}", name, pl.col("near")),
        ),
        (
            count.is_null(),
            pl.format("the count of {} must be an integer, got {}", name, _shown("digits")),
        ),
        (count < 1, pl.format("the count of {} must be at least 1, got {}", name, count)),
        (
            count > width,
            pl.format("the count of {} must be at most {}, got {}", name, width, count),
        ),
        (
            count % multiple != 0,
            pl.format("the count of {} must be a multiple of {}, got {}", name, multiple, count),
        ),
        (pl.len().over("row", "name") > 1, pl.format("{} is given twice", name)),
        (~agreed, pl.format("{} must have the count of its width group's other layers", name)),
    )
    error = pl.coalesce(*(pl.when(broken).then(message) for broken, message in rules))
    near = _suggestions(named, architecture)
    return named.join(near, on="name", how="left", maintain_order="left").select(
        "row", error.alias("error")
    )


def _shown(column: str) -> pl.Expr:
    return pl.col(column).str.slice(0, _SHOWN)


def _suggestions(named: pl.DataFrame, architecture: Architecture) -> pl.DataFrame:
    """`near`: for each unknown name what may have been meant, empty when there is nothing."""
    unknown = named.filter(pl.col("group").is_null() & pl.col("name").is_not_null())
    names = unknown["name"].unique(maintain_order=True).to_list()
    near = []
    for name in names[:_SUGGESTED_NAMES]:
        found = difflib.get_close_matches(name[:_SHOWN], architecture.index, n=3)
        near.append(f"; nearest: {', '.join(found)}" if found else "")
    near += [""] * (len(names) - len(near))
    return pl.DataFrame(
        {"name": names, "near": near}, schema={"name": pl.String, "near": pl.String}
    )
