"""Stage ``validate``: every row is accepted or quarantined, and the batch as a whole judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfcre.data.files import write_bytes, write_examples
from cfcre.data.schema import SPLITS, RelationExample
from cfcre.operations.held_out import input_keys, require_test_rows, write_splits
from cfcre.operations.stages.common import Stage, stage
from cfcre.operations.stages.retrying import retrying
from cfcre.operations.states import learned_tasks

if TYPE_CHECKING:
    from cfcre.intake.validation import RowsRejected, ValidationResult

__all__ = ["data_docs_folder", "run"]

NAME = "validate"


@retrying
def run(*, claim: str, settings: str, raw: str, accepted: str, docs: str) -> dict[str, int]:
    """Validate a batch with Great Expectations.

    Args:
        claim: The claim as JSON.
        settings: Portable settings as JSON.
        raw: Rows as ``ingest`` wrote them.
        accepted: File to write the accepted rows to, each with its split.
        docs: File to write the Data Docs to, as one page.

    Returns:
        Counts: ``read``, ``accepted``, ``quarantined``.

    Raises:
        BatchRejected: The batch as a whole is at fault; its rows are in quarantine all the same.
        StoreUnavailable: The object store did not answer.
        LeaseLost: Another run owns the task now.
    """
    with stage(NAME, claim, settings) as running:
        from cfcre.intake.rows import read_raw
        from cfcre.intake.validation import RowsRejected

        task = running.claim
        try:
            result = _validate(running, read_raw(Path(raw)))
        except RowsRejected as rejected:
            _quarantine(running, rejected)
            running.ledger.advance(
                task,
                "claimed",
                rows=dict(rejected.counts),
                quarantined_by_reason=dict(rejected.by_reason),
                data_docs=str(rejected.docs_index) if rejected.docs_index else None,
                data_docs_key=_keep_docs(running, rejected.docs_index),
            )
            raise
        _quarantine(running, result)
        running.ledger.advance(task, "claimed", **_facts(result))
        require_test_rows(result.accepted)
        write_splits(running.store, task.stream, task.batch_hash, result.accepted)
        write_examples(Path(accepted), result.accepted)
        _write_docs(Path(docs), result.docs_index)
        running.ledger.advance(task, "validated")
        running.facts.update(result.counts)
        return dict(result.counts)


def data_docs_folder(running: Stage) -> Path:
    """Where the Data Docs of the claimed batch go."""
    name = f"{running.claim.batch_name}-{running.claim.batch_hash[:8]}"
    return running.settings.home.absolute() / "docs" / running.claim.stream / name


def _quarantine(running: Stage, result: ValidationResult | RowsRejected) -> None:
    from cfcre.intake.quarantine import write_quarantine

    write_quarantine(
        running.store,
        running.claim.stream,
        running.claim.batch_hash,
        result.quarantined,
        result.counts,
        batch_name=running.claim.batch_name,
    )


def _validate(running: Stage, raw: Any) -> ValidationResult:
    from cfcre.data.tokenisation import fits, load_tokenizer
    from cfcre.intake.validation import validate_batch

    settings, stream = running.settings, running.claim.stream
    tokenizer = load_tokenizer(settings.encoder.name)

    def fit(examples: Sequence[RelationExample]) -> list[bool]:
        return fits(tokenizer, examples, settings.encoder.max_length)

    earlier = [task["batch"] for task in learned_tasks(running.ledger, stream)]
    return validate_batch(
        raw,
        settings=settings,
        earlier_test_keys=input_keys(running.store, stream, earlier, ["test"], settings),
        earlier_train_keys=input_keys(running.store, stream, earlier, ["train"], settings),
        fits=fit,
        docs_dir=data_docs_folder(running),
    )


def _facts(result: ValidationResult) -> dict[str, Any]:
    relations = Counter(example.relation for example in result.accepted)
    splits = Counter(str(example.split) for example in result.accepted)
    return {
        "rows": {**result.counts, **{split: splits[split] for split in SPLITS}},
        "relations": sorted(relations),
        "rows_by_relation": dict(sorted(relations.items())),
        "quarantined_by_reason": dict(result.by_reason),
        "data_docs": str(result.docs_index) if result.docs_index else None,
    }


def _keep_docs(running: Stage, index: Path | None) -> str | None:
    """Put a rejected batch's Data Docs into the store: Kubeflow keeps nothing of a failed step."""
    if index is None:
        return None
    from cfcre.intake.data_docs import one_page
    from cfcre.intake.quarantine import docs_key

    key = docs_key(running.claim.stream, running.claim.batch_hash)
    running.store.write(key, one_page(index.parent))
    return key


def _write_docs(target: Path, index: Path | None) -> None:
    from cfcre.intake.data_docs import one_page

    page = one_page(index.parent) if index else b"<p>Data Docs were not written.</p>\n"
    write_bytes(target, page)
