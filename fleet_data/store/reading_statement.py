"""Which statements of a person's read and do nothing else, in PostgreSQL's dialect."""

import logging
import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from hdap.fleet_data.errors import InputError

# It says on standard error what it reads as a mere command; that is answered here.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_DIALECT = "postgres"
_OTHER_THAN_READING = (
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.Copy,
    exp.Create,
    exp.Drop,
    exp.Command,
)
_OPTIONS = re.compile(r"\s*(?P<options>\([^()']*\)|(?:(?:analy[sz]e|verbose)\b\s*)*)", re.I)
_CALLED = re.compile(r"([^\W\d][\w$]*)\"?\s*(?:\(|/\*|--)")
_ESCAPED_NAME = re.compile(r"u&\"", re.I)


@dataclass(frozen=True)
class ReadingStatement:
    """A statement that reads: `query` is it, or what it explains, then `explain` is how."""

    query: str
    explain: str | None = None

    def declared(self, cursor: str) -> str:
        """The statement with its query as that of a cursor: there PostgreSQL's own grammar takes
        nothing but a query that changes nothing."""
        declared = f"DECLARE {cursor} NO SCROLL CURSOR FOR {self.query}"
        return declared if self.explain is None else f"EXPLAIN {self.explain} {declared}"


def read_statement(sql: str) -> ReadingStatement:
    """The statement in a text. Raises InputError where it is not exactly one that reads."""
    try:
        explain = _explain(sql)
        query = sql if explain is None else sql[explain.end() :]
        _require_reading(query)
    except ParseError as error:
        at = error.errors[0] if error.errors else {}
        raise _unreadable(
            f"{at.get('description', 'it is none')} (line {at.get('line', 1)}, column "
            f"{at.get('col', 1)}, at {at.get('highlight', '')!r})"
        ) from error
    except (SqlglotError, RecursionError) as error:
        raise _unreadable(" ".join(str(error).split())) from error
    if explain is None:
        return ReadingStatement(sql)
    return ReadingStatement(query, explain["options"].strip())


def called_names(sql: str) -> set[str]:
    """Names that may be of functions, in lower case: whatever a bracket or a comment follows, in
    texts and comments too, so that no other reading of quotes hides one.

    Raises InputError for names that are written in escapes.
    """
    if _ESCAPED_NAME.search(sql):
        raise InputError('names in the query must be written plainly, but got U&"...": write "..."')
    return {name.lower() for name in _CALLED.findall(sql)}


def _explain(sql: str) -> re.Match[str] | None:
    tokens = sqlglot.tokenize(sql, read=_DIALECT)  # comments are none
    if not tokens or tokens[0].text.upper() != "EXPLAIN":
        return None
    return _OPTIONS.match(sql, tokens[0].end + 1)


def _require_reading(sql: str) -> None:
    trees = [tree for tree in sqlglot.parse(sql, dialect=_DIALECT) if tree is not None]
    if len(trees) != 1:
        raise _refused(f"there are {len(trees)} statements")
    (tree,) = trees
    if not isinstance(tree, exp.Query | exp.Values):
        raise _refused(f"it is {_words(tree, sql)}")
    for part in tree.find_all(*_OTHER_THAN_READING):
        raise _refused(f"it holds {_words(part, sql)}")
    if tree.find(exp.Into):
        raise _refused("SELECT ... INTO makes a table")
    if tree.find(exp.Lock):
        raise _refused("FOR UPDATE and its kind lock rows")


def _words(tree: exp.Expr, sql: str) -> str:
    """What a statement is, by its first word where sqlglot has none of its own."""
    known = type(tree).__name__.upper()
    if isinstance(tree, _OTHER_THAN_READING) and not isinstance(tree, exp.Command):
        return known
    return repr(sql.split(maxsplit=1)[0])


def _refused(why: str) -> InputError:
    return InputError(
        f"the query must be one SELECT, WITH, VALUES or EXPLAIN that reads, but {why}: nothing of "
        "it was run"
    )


def _unreadable(why: str) -> InputError:
    return InputError(f"the query must be SQL that can be read, but {why}: nothing of it was run")
