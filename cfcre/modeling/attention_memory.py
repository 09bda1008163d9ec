"""RP-CRE's memory network: a representation is refined by attention over the relations' prototypes.

Cui et al., "Refining Sample Embeddings with Relation Prototypes to Enhance Continual Relation
Extraction", ACL 2021.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["AttentionMemory"]


class AttentionMemory(nn.Module):
    """One block of multi-head attention from a representation to the prototypes.

    With u = √d · h / |h| and m_r the same of prototype p_r, in each head j::

        w_r  = softmax_r( (Q_j u) · (K_j m_r) / √k )
        o_j  = sum_r w_r V_j m_r
        a    = LayerNorm( u + O [o_1 ; … ; o_J] + b )
        h'   = LayerNorm( a + gelu(F a + c) )

    Both residuals and both normalisations are those of the paper's block; u and m have unit
    variance, as what a layer normalisation gives, so that attention neither starts flat nor
    saturated, and the length of a vector does not matter.

    Args:
        size: d of representations and prototypes.
        heads: J.
        key_size: k, the size of a query, a key and a value in one head.
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, heads: int, key_size: int, generator: torch.Generator) -> None:
        super().__init__()
        # The number of heads is a dimension: the weights alone say how they are to be used.
        self.query = nn.Parameter(torch.empty(heads, key_size, size))
        self.key = nn.Parameter(torch.empty(heads, key_size, size))
        self.value = nn.Parameter(torch.empty(heads, key_size, size))
        self.output = nn.Parameter(torch.empty(size, heads, key_size))
        self.output_bias = nn.Parameter(torch.zeros(size))
        self.attended = nn.LayerNorm(size)
        self.feed = nn.Linear(size, size)
        self.refined = nn.LayerNorm(size)
        for weight in (self.query, self.key, self.value):
            nn.init.uniform_(weight, -(size**-0.5), size**-0.5, generator=generator)
        bound = (heads * key_size) ** -0.5
        nn.init.uniform_(self.output, -bound, bound, generator=generator)
        nn.init.uniform_(self.feed.weight, -(size**-0.5), size**-0.5, generator=generator)
        nn.init.zeros_(self.feed.bias)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> AttentionMemory:
        """The module whose ``state_dict`` the tensors are.

        Raises:
            RuntimeError: A tensor is missing, or the shapes do not fit each other.
            KeyError: ``query``, which tells the sizes, is missing.
        """
        heads, key_size, size = tensors["query"].shape
        module = cls(size, heads, key_size, torch.Generator())
        module.load_state_dict(dict(tensors))
        return module

    def forward(self, representations: Tensor, prototypes: Tensor) -> Tensor:
        """Refined representations.

        Args:
            representations: h, ``[B, d]``.
            prototypes: p, ``[R, d]``; keys and values.

        Returns:
            h', ``[B, d]``.
        """
        scale = representations.shape[1] ** 0.5
        unit = scale * functional.normalize(representations, dim=-1)
        memory = scale * functional.normalize(prototypes, dim=-1)
        query = torch.einsum("bd,jkd->bjk", unit, self.query)
        key = torch.einsum("rd,jkd->rjk", memory, self.key)
        value = torch.einsum("rd,jkd->rjk", memory, self.value)
        logits = torch.einsum("bjk,rjk->bjr", query, key) / self.key.shape[1] ** 0.5
        read = torch.einsum("bjr,rjk->bjk", logits.softmax(dim=-1), value)
        written = torch.einsum("bjk,djk->bd", read, self.output) + self.output_bias
        attended: Tensor = self.attended(unit + written)
        refined: Tensor = self.refined(attended + functional.gelu(self.feed(attended)))
        return refined
