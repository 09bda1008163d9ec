"""CEAR's memory augmentation: entities swapped within a relation, sentences put side by side.

Ten examples a relation are soon known by heart. Two changes leave the relation as it is and take
away what could be remembered in its place:

* *entity swap*: head and tail of another example of the same relation in the places of the own;
* *concatenation*: another sentence of the memory in front of the own one or behind it, without its
  markers.

Source: Zhao, Cui and Hu, ACL 2023, memory augmentation. The published code swaps with a shuffled
copy of the relation and concatenates with a shuffled copy of everything, in which an example may
meet itself; here it never does, so that no row is trained on twice under another name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cfcre.data.schema import RelationExample, Span

__all__ = ["augment_memory", "concatenate", "swap_entities"]


def augment_memory(
    memory: Sequence[RelationExample], generator: np.random.Generator
) -> tuple[list[RelationExample], npt.NDArray[np.int64]]:
    """The memory, its entity-swapped rows, and a concatenation of each of both.

    Args:
        memory: Stored examples.
        generator: Of the partners.

    Returns:
        The examples, the memory itself first, at most four times its size; and for each the row of
        the memory that it came from, whose relation it has. A relation with one example has no
        swapped row; a memory of one example has no concatenation.
    """
    examples, origins = list(memory), list(range(len(memory)))
    rows: dict[str, list[int]] = {}
    for i, e in enumerate(memory):
        rows.setdefault(e.relation, []).append(i)
    for own in rows.values():
        for i, partner in zip(own, _partners(len(own), generator), strict=False):
            examples.append(swap_entities(memory[i], memory[own[partner]]))
            origins.append(i)
    doubled = len(examples)
    for i, partner in enumerate(_partners(doubled, generator)):
        # Every second one behind: the entities are not always in the first sentence.
        examples.append(concatenate(examples[i], examples[partner], behind=i % 2 == 1))
        origins.append(origins[i])
    return examples, np.asarray(origins, dtype=np.int64)


def swap_entities(example: RelationExample, other: RelationExample) -> RelationExample:
    """The sentence of ``example`` with the head and the tail of ``other``."""
    first, second = sorted([example.head, example.tail])
    texts = {example.head: other.head_text, example.tail: other.tail_text}
    left = example.text[: first.start] + texts[first]
    middle = left + example.text[first.end : second.start]
    spans = {
        first: Span(first.start, len(left)),
        second: Span(len(middle), len(middle) + len(texts[second])),
    }
    text = middle + texts[second] + example.text[second.end :]
    return RelationExample(text, spans[example.head], spans[example.tail], example.relation)


def concatenate(
    example: RelationExample, other: RelationExample, *, behind: bool
) -> RelationExample:
    """Both sentences as one; head, tail and relation are those of ``example``.

    Args:
        example: Keeps its entities.
        other: Its sentence is context only.
        behind: Whether ``example`` stands behind ``other``.
    """
    if not behind:
        return RelationExample(
            f"{example.text} {other.text}", example.head, example.tail, example.relation
        )
    shift = len(other.text) + 1
    head, tail = (Span(s.start + shift, s.end + shift) for s in (example.head, example.tail))
    return RelationExample(f"{other.text} {example.text}", head, tail, example.relation)


def _partners(count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """For each of ``count`` rows another one, each once; none where there is only one row."""
    if count < 2:
        return np.zeros(0, dtype=np.int64)
    ring = generator.permutation(count)
    partners = np.empty(count, dtype=np.int64)
    partners[ring] = np.roll(ring, 1)
    return partners
