"""Every error that hdap raises on purpose.

HdapError
├── InputError            (ValueError)    what the user gave is wrong
├── NotFoundError         (LookupError)   a name or a number that is not there
├── NotEnoughDataError    (ValueError)    the data cannot support the question
├── UnsupportedModelError (ValueError)    a network that cannot be described exactly
├── InfeasibleError       (ValueError)    a budget or a floor that nothing meets
├── DivergedError         (ArithmeticError) a training whose loss is no longer a finite number
└── StoreError            (RuntimeError)  the database is unreachable, locked or of another version

A message says what must hold, what came, and what to do.
"""

from collections.abc import Mapping

_LONGEST_TOLD = 200


class HdapError(Exception):
    """Root of all errors that hdap raises on purpose."""


class InputError(HdapError, ValueError):
    """What the user gave is wrong."""


class NotFoundError(HdapError, LookupError):
    """A model, device, study or trial that is not there."""


class NotEnoughDataError(HdapError, ValueError):
    """The stored data cannot support what was asked."""


class UnsupportedModelError(HdapError, ValueError):
    """A network whose channel graph cannot be described exactly."""


class InfeasibleError(HdapError, ValueError):
    """A budget, a floor or a fixed width that no configuration meets."""


class DivergedError(HdapError, ArithmeticError):
    """A training whose loss is no longer a finite number."""


class StoreError(HdapError, RuntimeError):
    """The database cannot be reached, is locked, or has another version."""


def told(error: Exception) -> str:
    """What another library says went wrong, as a part of one line."""
    return " ".join(str(error).split())[:_LONGEST_TOLD]


def require_rules(of: object, what: str, rules: Mapping[str, bool]) -> None:
    """Raises `InputError` naming the first rule that is broken, and the field it speaks of.

    A rule is written as a person reads it (`0 < rate < 1`); the first word in it that is an
    attribute of `of` is its field.
    """
    for rule, kept in rules.items():
        if not kept:
            name = next(word for word in rule.split() if hasattr(of, word))
            raise InputError(f"`{rule}` must hold for {what}, but got {name}={getattr(of, name)}")
