"""Max pooling of word pieces to words, and of words to all spans.

The literal way masks a copy of the sentence for every span: S × L × H values. Here the spans of
width w are the spans of width w − 1 compared with one more word,

    m_w[i] = max(m_{w−1}[i], h[i + w − 1]),

so that all of them cost L × W × H. The maximum over word pieces is the maximum over words of the
maximum over a word's pieces, so pooling by words first changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cfcre.spans.range_maxima import RangeMaxima

__all__ = ["pool_spans", "pool_words"]


def pool_words(pieces: Tensor, start: Tensor, end: Tensor, longest: int) -> Tensor:
    """Element-wise maximum over the pieces of each word.

    Args:
        pieces: float ``[P, H]``, hidden states of a batch, one after another.
        start: int64 ``[N]``, first piece of each word.
        end: int64 ``[N]``, exclusive.
        longest: Most pieces of a word.

    Returns:
        ``[N, H]``.
    """
    return RangeMaxima(pieces, longest).query(start, end)


def pool_spans(words: Tensor, widths: int) -> Tensor:
    """Element-wise maximum over the words of all spans up to a width.

    Args:
        words: float ``[N, H]``.
        widths: W.

    Returns:
        ``[W, N, H]``; what runs past the last row, or past the end of a document, is no span and
        must not be read.
    """
    count = len(words)
    padded = functional.pad(words, (0, 0, 0, max(widths - 1, 0)))
    current = words
    spans = [words]
    for shift in range(1, widths):
        current = torch.maximum(current, padded[shift : shift + count])
        spans.append(current)
    return torch.stack(spans)
