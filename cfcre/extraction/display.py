"""Text that is safe to show: escaped for HTML, invisible characters made visible."""

from __future__ import annotations

import html
import unicodedata

__all__ = ["columns", "escape", "visible"]

# They change the order in which everything after them is shown.
_DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def visible(text: str, *, one_line: bool = False) -> str:
    """Control characters as their pictures; half surrogates and direction marks as �.

    Args:
        text: Any text.
        one_line: Line breaks and tabulators become spaces; otherwise they stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character, one_line) for character in text)


def escape(text: str, *, one_line: bool = False) -> str:
    """:func:`visible` text for HTML and SVG, in elements and in quoted attributes."""
    return html.escape(visible(text, one_line=one_line), quote=True)


def columns(text: str) -> int:
    """Columns that a text takes in a font of one width; at least one."""
    if text.isascii():
        return max(1, len(text))
    return max(1, sum(_columns(character) for character in text))


def _visible(character: str, one_line: bool) -> str:
    if character in "\n\t":
        return " " if one_line else character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    if 0x80 <= code < 0xA0 or 0xD800 <= code <= 0xDFFF or character in _DIRECTION:
        return _REPLACEMENT
    if character in "\u2028\u2029" and one_line:
        return " "
    # XML has no form for these.
    return _REPLACEMENT if code & 0xFFFE == 0xFFFE else character


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
