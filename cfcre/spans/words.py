"""Text to words with character offsets, for text that does not come in words.

A word is a run of letters, digits, marks and underscores; a character of a script that is written
without spaces, and every other visible character, is a word by itself. Punctuation inside a word
divides it (``insulin-induced`` is three words), so that an entity can begin or end there. The rule
has no model, no language and no state: the same text gives the same words everywhere.
"""

from __future__ import annotations

import unicodedata

__all__ = ["split_words"]

# Scripts written without spaces: Han with its extensions and compatibility forms, Hiragana,
# Katakana, Bopomofo, Thai, Lao, Khmer, Myanmar. One character is one word, as BERT has it for Han.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3040, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


def split_words(text: str) -> list[tuple[int, int]]:
    """Words of a text, in order.

    Args:
        text: Any text; empty, blank, and with control characters as well.

    Returns:
        Characters ``[start, end)`` of each word. No two words overlap and none is empty or blank.
        What is in no word is white space, control characters, lone surrogates, and invisible
        format characters that follow no word.
    """
    words: list[tuple[int, int]] = []
    growing = False  # whether the last word may take more letters
    for position, character in enumerate(text):
        kind = _kind(character)
        touches = bool(words) and words[-1][1] == position
        if (kind == "w" and growing) or (kind in "mf" and touches):
            words[-1] = (words[-1][0], position + 1)
            continue
        if kind in "w1m":
            words.append((position, position + 1))
        growing = kind in "wm"
    return words


def _kind(character: str) -> str:
    """``w`` letter of a word, ``1`` a word by itself, ``m`` mark, ``f`` format, space: neither."""
    if character.isascii():
        if character.isalnum() or character == "_":
            return "w"
        return "1" if character.isprintable() and character != " " else " "
    category = unicodedata.category(character)
    if category[0] in "LN":
        point = ord(character)
        return "1" if any(low <= point <= high for low, high in _UNSPACED) else "w"
    if character.isspace() or category in ("Cc", "Cs"):
        return " "
    return {"M": "m", "C": "f" if category == "Cf" else "1"}.get(category[0], "1")
