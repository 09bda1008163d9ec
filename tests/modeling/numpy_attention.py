"""RP-CRE's memory network written out in NumPy with loops, as the oracle of the module.

Slow on purpose, and sharing nothing with the code under test.
"""

from __future__ import annotations

import math

import numpy as np
import numpy_formulas as formula

EPSILON = 1e-5


def layer_norm(x, weight, bias):
    """Normalised to mean 0 and variance 1, then scaled and shifted."""
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return np.array(
        [
            w * (v - mean) / math.sqrt(variance + EPSILON) + b
            for v, w, b in zip(x, weight, bias, strict=True)
        ]
    )


def gelu(x):
    """x times the normal distribution's cumulative probability at x."""
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def attention_memory(h, prototypes, w):
    """The block for one representation; w is the module's state dictionary as arrays."""
    size = len(h)
    u = math.sqrt(size) * h / math.sqrt(np.dot(h, h))
    memory = [math.sqrt(size) * p / math.sqrt(np.dot(p, p)) for p in prototypes]
    heads, key_size, _ = w["query"].shape
    written = w["output_bias"].copy()
    for j in range(heads):
        q = w["query"][j] @ u
        similar = [
            math.exp(float(np.dot(q, w["key"][j] @ m)) / math.sqrt(key_size)) for m in memory
        ]
        read = np.zeros(key_size)
        for r, m in enumerate(memory):
            read = read + similar[r] / sum(similar) * (w["value"][j] @ m)
        written = written + w["output"][:, j] @ read
    attended = layer_norm(u + written, w["attended.weight"], w["attended.bias"])
    fed = gelu(w["feed.weight"] @ attended + w["feed.bias"])
    return layer_norm(attended + fed, w["refined.weight"], w["refined.bias"])


def refined_loss(h, prototypes, relations, labels, w, scale):
    """What RP-CRE's rehearsal minimises."""
    refined = np.stack([attention_memory(row, prototypes, w) for row in h])
    return formula.softmax_loss(refined, relations, labels, scale)
