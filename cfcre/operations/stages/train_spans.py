"""Stage ``train_spans``: the span model, from the encoder, on all documents so far."""

from __future__ import annotations

from pathlib import Path

import cfcre
from cfcre.data.files import write_json
from cfcre.operations.joint.memory import read_corpus
from cfcre.operations.joint.training import train_spans
from cfcre.operations.stages.common import stage
from cfcre.operations.stages.retrying import retrying

__all__ = ["run"]

NAME = "train_spans"


@retrying
def run(*, claim: str, settings: str, corpus: str, model: str, facts: str) -> dict[str, float]:
    """Train the candidate.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        corpus: All documents so far.
        model: Directory to write the span model to.
        facts: File to write losses and counts to.

    Returns:
        Numbers for the pipeline's metrics.

    Raises:
        ConfigurationError: The encoder can not be found or loaded.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        task = running.claim
        running.ledger.advance(task, "training")
        result = train_spans(
            read_corpus(Path(corpus)),
            Path(model),
            running.settings,
            lineage={
                "stream": task.stream,
                "batch": task.batch_hash,
                "batch_name": task.batch_name,
                "task": task.task,
                "parent_version": task.parent_version,
                "code_version": cfcre.__version__,
            },
            progress=running.progress,
        )
        write_json(Path(facts), result)
        running.facts.update(
            documents=result["documents"],
            updates=result["updates"],
            work_seconds=result["seconds"],
        )
        last = result["losses"][-1]
        return {
            "updates": result["updates"],
            "documents": result["documents"],
            "last_entity_loss": last["entity_loss"],
            "last_relation_loss": last["relation_loss"],
        }
