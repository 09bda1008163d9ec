"""The papers' formulas written out in NumPy, one term at a time, as the oracle of the losses.

Slow on purpose: loops where the formula has sums, no shared helper with the code under test.
"""

from __future__ import annotations

import math

import numpy as np


def cosine(a, b):
    """Cosine of two vectors."""
    return float(np.dot(a, b) / (math.sqrt(np.dot(a, a)) * math.sqrt(np.dot(b, b))))


def softmax_loss(h, anchors, labels, scale):
    """Eq. 2, 7 and 11: mean negative log softmax over scaled cosines."""
    total = 0.0
    for i in range(len(h)):
        numerator = math.exp(scale * cosine(h[i], anchors[labels[i]]))
        denominator = sum(math.exp(scale * cosine(h[i], a)) for a in anchors)
        total += -math.log(numerator / denominator)
    return total / len(h)


def info_nce(z, c, labels, tau):
    """Eq. 5 with the similarity of eq. 6."""
    total = 0.0
    for i in range(len(z)):
        positive = math.exp(cosine(z[i], c[labels[i]]) / tau)
        everything = sum(math.exp(cosine(z[i], c[r]) / tau) for r in range(len(c)))
        total -= math.log(positive / everything)
    return total / len(z)


def similar_set(h_i, prototypes, label, alpha):
    """Eq. 8 for one example, as a set of indices."""
    s = [cosine(h_i, p) for p in prototypes]
    negatives = [r for r in range(len(prototypes)) if r != label]
    members = {label}
    if negatives:
        members.add(max(negatives, key=lambda r: s[r]))
    members |= {r for r in negatives if s[r] > s[label] - alpha}
    return members


def focal(h, prototypes, labels, alpha, scale):
    """Eq. 9: cross entropy over each example's own set."""
    total = 0.0
    for i in range(len(h)):
        members = similar_set(h[i], prototypes, labels[i], alpha)
        top = math.exp(scale * cosine(h[i], prototypes[labels[i]]))
        total -= math.log(top / sum(math.exp(scale * cosine(h[i], prototypes[r])) for r in members))
    return total / len(h)


def prototype(h, labels, relation):
    """Eq. 3: mean of the unit vectors of one relation."""
    rows = [h[i] / np.linalg.norm(h[i]) for i in range(len(h)) if labels[i] == relation]
    return sum(rows) / len(rows)


def mlp(h, w1, b1, w2, b2):
    """Eq. 4."""
    return np.stack([w2 @ np.maximum(w1 @ row + b1, 0) + b2 for row in h])


def central_difference(function, x, step=1e-6):
    """Numerical gradient of a scalar function at the array x."""
    gradient = np.zeros_like(x)
    for position in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[position] += step
        down[position] -= step
        gradient[position] = (function(up) - function(down)) / (2 * step)
    return gradient
