"""Characters that nobody sees: byte-order marks, spaces of no width, marks of direction."""

SEEN_BY_NOBODY = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Of no width; whitespace is another matter, and is taken off everywhere."""


def visible(text: str) -> str:
    """A text without what nobody sees at its ends."""
    before = None
    while text != before:
        before, text = text, text.strip().strip(SEEN_BY_NOBODY)
    return text
