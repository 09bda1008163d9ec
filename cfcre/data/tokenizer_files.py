"""The tokenizer of an encoder's folder, with the right casing.

Some encoders, SpanBERT among them, are published as ``config.json``, weights and ``vocab.txt`` and
nothing else. The usual default is then to lower-case, which turns most names of a *cased* encoder
into other word pieces without any error. Here the vocabulary itself decides: one that holds an
upper-case letter in an ordinary word piece is cased.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cfcre.errors import ConfigurationError

__all__ = ["is_cased", "load_backend"]


def load_backend(folder: Path) -> Tokenizer:
    """The fast tokenizer of an encoder.

    Args:
        folder: Holds ``tokenizer.json``, or ``vocab.txt`` with or without
            ``tokenizer_config.json``, or whatever else transformers can make a tokenizer of.

    Raises:
        ConfigurationError: The folder has no usable tokenizer.
    """
    path = folder / "tokenizer.json"
    try:
        if path.is_file():
            return Tokenizer.from_file(str(path))
        vocabulary = folder / "vocab.txt"
        if vocabulary.is_file() and "do_lower_case" not in _tokenizer_config(folder):
            return _word_pieces(vocabulary)
        from transformers import AutoTokenizer

        loaded: Any = AutoTokenizer.from_pretrained(str(folder))
        backend: Tokenizer = loaded.backend_tokenizer
        return backend
    except ConfigurationError:
        raise
    # tokenizers raises a bare Exception for a file that it can not read.
    except Exception as error:
        raise ConfigurationError(
            f"cannot load a tokenizer from {folder.name}: {error}; "
            "it needs a tokenizer.json or a vocab.txt"
        ) from error


def is_cased(vocabulary: list[str]) -> bool:
    """Whether a word-piece vocabulary tells upper from lower case.

    Special tokens such as ``[CLS]`` do not count: they are upper-case everywhere.
    """
    return any(
        piece != piece.lower() and not (piece.startswith("[") and piece.endswith("]"))
        for piece in vocabulary
    )


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def _word_pieces(path: Path) -> Tokenizer:
    from transformers import BertTokenizer

    # Not splitlines(): a vocabulary holds U+2028 and other separators as pieces of their own.
    pieces = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    pieces = [piece.rstrip("\r") for piece in pieces]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    made: Any = BertTokenizer(vocab=vocabulary, do_lower_case=not is_cased(pieces))
    backend: Tokenizer = made.backend_tokenizer
    return backend
