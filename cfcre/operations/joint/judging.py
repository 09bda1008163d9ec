"""A candidate span model and the champion, scored on the same held-out documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.config import Settings
from cfcre.operations.joint.memory import in_split, types_of
from cfcre.spans.storing import StoredDocument

if TYPE_CHECKING:
    from cfcre.spans.documents import Document, LabelTypes
    from cfcre.spans.model import SpanModel

__all__ = ["SCORES", "evaluate_spans", "evaluation_numbers", "scores_page"]

SCORES = ("entities", "relations", "relations_strict")
"""What is scored: entities, relations relaxed, relations strict; as SpERT scores them."""


def evaluate_spans(
    candidate: Path,
    champion: Path | None,
    documents: Sequence[StoredDocument],
    *,
    batch: str,
    champion_version: str | None,
    settings: Settings,
) -> dict[str, Any]:
    """Score both models on the test documents of all batches so far.

    Args:
        candidate: Its directory.
        champion: The champion's directory; None where there is none to compare with.
        documents: All documents so far.
        batch: Content hash of the newest batch, which is scored by itself as well.
        champion_version: Its version.
        settings: ``compute`` and ``joint`` are used.

    Returns:
        The document ``evaluation.json``: ``candidate`` and ``champion`` (or null), each with
        ``all`` and, where the newest batch has test documents, ``newest``; ``changes`` by type
        where there is a champion.

    Raises:
        StateError: A model can not be read.
    """
    from cfcre.spans.comparing import joined_types
    from cfcre.spans.model import SpanModel

    held_out = in_split(documents, "test")
    newest = in_split((d for d in documents if d.batch == batch), "test")
    model = SpanModel.load(candidate, settings.compute)
    known = [model.types, types_of(held_out, settings)]
    other = None if champion is None else SpanModel.load(champion, settings.compute)
    if other is not None:
        known.append(other.types)
    types = joined_types(known)
    scored = _scores(model, held_out, newest, types)
    compared = None if other is None else _scores(other, held_out, newest, types)
    return {
        "format": 1,
        "champion_version": champion_version,
        "documents": {"test": len(held_out), "newest": len(newest)},
        "types": {"entities": list(model.types.entities), "relations": list(model.types.relations)},
        "candidate": scored,
        "champion": compared,
        "changes": [] if compared is None else _changes(scored["all"], compared["all"]),
    }


def evaluation_numbers(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """F1 figures by name, as ``entities_f1``, ``champion_relations_f1``, ``newest_entities_f1``."""
    numbers: dict[str, float] = {}
    for prefix, which, part in (
        ("", "candidate", "all"),
        ("champion_", "champion", "all"),
        ("newest_", "candidate", "newest"),
    ):
        found = (evaluation[which] or {}).get(part)
        if found is not None:
            numbers |= {f"{prefix}{name}_f1": found[name]["micro"]["f1"] for name in SCORES}
    numbers["test_documents"] = float(evaluation["documents"]["test"])
    return numbers


def scores_page(evaluation: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    """The scores and the verdict as Markdown; names in it are shown as they are, not as markup."""
    from cfcre.evaluation.summary import plain_text, table_row

    candidate, champion = evaluation["candidate"]["all"], evaluation["champion"]
    lines = [f"**{plain_text(verdict['verdict'])}**: {plain_text(verdict['reason'])}", ""]
    lines += [f"F1 on {evaluation['documents']['test']} held-out documents", ""]
    lines += [table_row(["", "candidate", "champion"]), table_row(["---", "---:", "---:"])]
    for name in SCORES:
        other = "-" if champion is None else f"{champion['all'][name]['micro']['f1']:.4f}"
        lines.append(
            table_row([name.replace("_", " "), f"{candidate[name]['micro']['f1']:.4f}", other])
        )
    lines += ["", table_row(["type", "kind", "labels", "F1", "champion"])]
    lines.append(table_row(["---", "---", "---:", "---:", "---:"]))
    for kind in ("entities", "relations"):
        for name, figures in candidate[kind]["per_type"].items():
            other = (
                "-" if champion is None else f"{champion['all'][kind]['per_type'][name]['f1']:.4f}"
            )
            lines.append(
                table_row(
                    [
                        plain_text(name),
                        kind,
                        str(figures["support"]),
                        f"{figures['f1']:.4f}",
                        other,
                    ]
                )
            )
    return "\n".join(lines) + "\n"


def _scores(
    model: SpanModel, held_out: Sequence[Document], newest: Sequence[Document], types: LabelTypes
) -> dict[str, Any]:
    from cfcre.spans.comparing import score_documents

    found = {"all": score_documents(model, held_out, types).to_json()}
    if newest:
        found["newest"] = score_documents(model, newest, types).to_json()
    return found


def _changes(candidate: Mapping[str, Any], champion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """F1 of each type, candidate less champion; the largest fall first."""
    changes = [
        {
            "kind": kind,
            "type": name,
            "support": figures["support"],
            "change": figures["f1"] - champion[kind]["per_type"][name]["f1"],
        }
        for kind in ("entities", "relations")
        for name, figures in candidate[kind]["per_type"].items()
    ]
    return sorted(changes, key=lambda change: float(change["change"]))
