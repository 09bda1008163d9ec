"""CRL's and CEAR's formulas written out in NumPy, one term at a time, as the oracle of the losses.

Slow on purpose, like ``numpy_formulas``: loops where a formula has sums, nothing of the code under
test.
"""

from __future__ import annotations

import math

import numpy as np
from numpy_formulas import cosine


def softmax(values):
    """Softmax of a list of numbers."""
    exponentials = [math.exp(v) for v in values]
    return [e / sum(exponentials) for e in exponentials]


def supervised_contrastive(z, labels, bank, bank_labels, tau):
    """Mean over the positives of the negative log of their share, mean over the examples."""
    total = 0.0
    for i in range(len(z)):
        everything = sum(math.exp(cosine(z[i], b) / tau) for b in bank)
        positives = [p for p in range(len(bank)) if bank_labels[p] == labels[i]]
        inner = sum(math.log(math.exp(cosine(z[i], bank[p]) / tau) / everything) for p in positives)
        total += -inner / len(positives)
    return total / len(z)


def similarity_distillation(z, labels, prototypes, before, tau):
    """KL(P_y || Q_i) over the old relations; an example of a new one adds nothing."""
    total = 0.0
    for i in range(len(z)):
        if labels[i] >= len(before):
            continue
        p = softmax([a / tau for a in before[labels[i]]])
        q = softmax([cosine(z[i], c) / tau for c in prototypes])
        total += sum(p[j] * math.log(p[j] / q[j]) for j in range(len(p)))
    return total / len(z)


def focal_weight(logits_i, similarities_i, label, gamma, tau):
    """(1 - p)^γ softmax(s / τ) of one example."""
    right = softmax(logits_i)[label]
    return [(1 - right) ** gamma * s for s in softmax([s / tau for s in similarities_i])]


def focal_distillation(logits, before, weights):
    """Cross entropy with the previous answers over the old relations, under given weights."""
    total = 0.0
    for i in range(len(logits)):
        old = len(before[i])
        target, answer = softmax(before[i]), softmax(logits[i][:old])
        for r in range(old):
            total -= weights[i][r] * target[r] * math.log(answer[r])
    return total / len(logits)


def margin(z, prototypes, labels, m):
    """Hinge of the true cosine against the largest other one."""
    total = 0.0
    for i in range(len(z)):
        true = cosine(z[i], prototypes[labels[i]])
        others = [cosine(z[i], prototypes[r]) for r in range(len(prototypes)) if r != labels[i]]
        total += max(0.0, m - true + max(others)) if others else 0.0
    return total / len(z)


def blended(h, classifier, layers, anchors, alpha, scale, tau):
    """CEAR's prediction for each row of h."""
    w1, b1, w2, b2 = layers
    result = []
    for row in h:
        long = row / np.linalg.norm(row) * math.sqrt(len(row))
        z = w2 @ np.maximum(w1 @ long + b1, 0) + b2
        first = softmax([scale * cosine(row, e) for e in classifier])
        second = softmax([cosine(z, c) / tau for c in anchors])
        result.append([alpha * a + (1 - alpha) * b for a, b in zip(first, second, strict=True)])
    return np.array(result)
