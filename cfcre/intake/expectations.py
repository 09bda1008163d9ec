"""The Great Expectations suites. Their verdicts are the verdicts: nothing else refuses a row.

Great Expectations puts unexpected values into its HTML as they are: they are not escaped there.
So no text of a batch reaches a suite; the facts are numbers, flags and codes, and relation names
and sources are escaped before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read by the library when it is imported.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
from great_expectations.expectations.core.expect_column_values_to_be_between import (
    ExpectColumnValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
    ExpectColumnValuesToBeInSet,
)
from great_expectations.expectations.core.expect_column_values_to_not_be_in_set import (
    ExpectColumnValuesToNotBeInSet,
)
from great_expectations.expectations.core.expect_table_columns_to_match_set import (
    ExpectTableColumnsToMatchSet,
)
from great_expectations.expectations.core.expect_table_row_count_to_be_between import (
    ExpectTableRowCountToBeBetween,
)

from cfcre.config import IntakeSettings
from cfcre.intake.rows import ROW_REASONS

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

__all__ = ["Checker", "batch_suite", "between_rows_suite", "row_suite"]

_SITE = "local_site"
_ROW = "row"
_FORM = ("invalid_encoding", "invalid_json", "not_an_object", "missing_field", "wrong_type")


def row_suite(settings: IntakeSettings) -> list[Expectation]:
    """What a row must be by itself, in the order of precedence of the reasons."""
    rules: dict[str, Expectation] = {
        reason: ExpectColumnValuesToNotBeInSet(
            column="form", value_set=[reason], meta={"reason": reason}
        )
        for reason in _FORM
    }
    for reason, column in (
        ("span_out_of_range", "units_out_of_range"),
        ("span_empty", "empty_spans"),
        ("span_inverted", "inverted_spans"),
        ("spans_overlap", "shared_units"),
        ("lone_surrogate", "lone_surrogates"),
    ):
        rules[reason] = ExpectColumnValuesToBeBetween(
            column=column, max_value=0, meta={"reason": reason}
        )
    rules["text_too_long"] = ExpectColumnValuesToBeBetween(
        column="characters", max_value=settings.max_text_chars, meta={"reason": "text_too_long"}
    )
    rules["too_long_for_encoder"] = ExpectColumnValuesToBeInSet(
        column="fits_encoder", value_set=[True], meta={"reason": "too_long_for_encoder"}
    )
    for reason in ("empty_relation", "no_relation_label", "invalid_relation_name"):
        rules[reason] = ExpectColumnValuesToNotBeInSet(
            column="label", value_set=[reason], meta={"reason": reason}
        )
    # Both a reader's finding: the split is read with the row's form.
    rules["invalid_split"] = ExpectColumnValuesToNotBeInSet(
        column="form", value_set=["invalid_split"], meta={"reason": "invalid_split"}
    )
    return [rules[reason] for reason in ROW_REASONS if reason in rules]


def between_rows_suite() -> list[Expectation]:
    """How a row must stand to the other rows, of this batch and of earlier tasks."""
    flags = ("duplicate", "duplicate_of_earlier_test", "test_row_seen_in_training")
    return [
        ExpectColumnValuesToBeBetween(
            column="labels_of_input", max_value=1, meta={"reason": "conflicting_label"}
        ),
        *(
            ExpectColumnValuesToBeInSet(column=flag, value_set=[False], meta={"reason": flag})
            for flag in flags
        ),
    ]


def batch_suite(settings: IntakeSettings) -> list[Expectation]:
    """What the accepted rows must be together; one row of facts a relation."""
    reason = {"reason": "too_few_rows"}
    return [
        ExpectTableColumnsToMatchSet(
            column_set=[_ROW, "relation", "accepted", "accepted_train"], meta=reason
        ),
        ExpectTableRowCountToBeBetween(min_value=1, meta=reason),
        ExpectColumnValuesToBeBetween(
            column="accepted", min_value=settings.min_rows_per_relation, meta=reason
        ),
        ExpectColumnValuesToBeBetween(
            column="accepted_train", min_value=settings.min_train_rows_per_relation, meta=reason
        ),
    ]


@dataclass
class Checker:
    """Runs suites over tables of facts in one context, and builds its Data Docs.

    Args:
        docs_dir: Folder of the Data Docs; None builds none.
    """

    docs_dir: Path | None = None
    _context: Any = field(init=False)

    def __post_init__(self) -> None:
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        if self.docs_dir is not None:
            self.docs_dir.mkdir(parents=True, exist_ok=True)
            site = {
                "class_name": "SiteBuilder",
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(self.docs_dir.absolute()),
                },
            }
            self._context.update_data_docs_site(_SITE, site)

    def check(
        self, name: str, facts: pd.DataFrame, expectations: Sequence[Expectation], *, shown: str
    ) -> dict[str, list[int]]:
        """Run one suite.

        Args:
            name: Name of the suite, the heading in the Data Docs.
            facts: One line an item, with its number in the column ``row``.
            expectations: Each carries the code of its reason in ``meta``.
            shown: Column that names an item to people in the Data Docs; escaped.

        Returns:
            Reason to the numbers of the items that fail it, in the order of the suite. A failed
            expectation about the table as a whole gives an empty list.

        Raises:
            RuntimeError: An expectation could not be evaluated: a defect, never a bad row.
        """
        context = self._context
        source = context.data_sources.add_pandas(name)
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(expectations)))
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=name,
                validation_definitions=[definition],
                result_format={
                    "result_format": "COMPLETE",
                    "unexpected_index_column_names": [_ROW, shown],
                },
            )
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": facts})
        failures: dict[str, list[int]] = {}
        for run in outcome.run_results.values():
            for result in run.results:
                _collect(result, failures)
        return failures

    def build_docs(self) -> Path | None:
        """Write the Data Docs of every suite that ran; returns their index page."""
        if self.docs_dir is None:
            return None
        self._context.build_data_docs(site_names=[_SITE])
        return self.docs_dir / "index.html"


def _collect(result: Any, failures: dict[str, list[int]]) -> None:
    config = result.expectation_config
    info: Mapping[str, Any] = result.exception_info or {}
    # One flat entry, or one a metric.
    entries = [info] if "raised_exception" in info else list(info.values())
    raised = [e for e in entries if e.get("raised_exception")]
    if raised:
        raise RuntimeError(f"{config.type} was not evaluated: {raised[0].get('exception_message')}")
    if result.success:
        return
    # numpy integers: to plain ones, they end in JSON.
    found = [int(item[_ROW]) for item in result.result.get("unexpected_index_list") or []]
    failures.setdefault(config.meta["reason"], []).extend(found)
