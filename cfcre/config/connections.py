"""Where the store, the ledger and MLflow are, and what a batch may hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cfcre.config.section import Section

__all__ = [
    "IntakeSettings",
    "LedgerSettings",
    "StoreSettings",
    "TrackingSettings",
]


class StoreSettings(Section):
    """The object store that holds inbox, quarantine and held-out sets."""

    url: str | None = Field(
        None, description="file:///dir or s3://bucket/prefix; null means <home>/store."
    )
    endpoint_url: str | None = Field(None, description="S3 endpoint of a non-AWS server.")
    region: str | None = Field(None, description="S3 region.")
    checksum_mode: Literal["when_required", "when_supported"] = Field(
        "when_required",
        description="boto3's request_checksum_calculation; some S3 servers refuse the other mode.",
    )
    connect_timeout_seconds: float = Field(10.0, gt=0)
    read_timeout_seconds: float = Field(60.0, gt=0)


class LedgerSettings(Section):
    """The SQL ledger: truth about batches, tasks, leases and promotions."""

    url: str | None = Field(
        None, description="SQLAlchemy URL; null means SQLite in <home>/ledger.db."
    )
    timeout_seconds: float = Field(
        30.0, gt=0, le=600, description="Wait so long for another process's transaction."
    )
    lease_seconds: float = Field(
        600.0, gt=0, description="A claim not renewed for so long may be taken over."
    )
    max_attempts: int = Field(
        3, ge=1, description="A batch whose task raised an error so often is set aside as poison."
    )
    max_interruptions: int = Field(
        10, ge=1, description="The same for attempts whose process vanished (killed, node lost)."
    )
    retry_backoff_seconds: float = Field(
        2.0, ge=0, description="Wait before attempt n+1: this times 2**(n-1), at most 10 minutes."
    )


class TrackingSettings(Section):
    """MLflow tracking and registry."""

    uri: str | None = Field(
        None, description="MLflow tracking URI; null means SQLite in <home>/mlflow.db."
    )
    artifact_root: str | None = Field(
        None, description="Artifact root of a new experiment; null means <home>/mlartifacts."
    )
    experiment: str = Field("cfcre", min_length=1)
    registered_model: str = Field("cfcre", min_length=1, pattern=r"^[^/:]+$")


class IntakeSettings(Section):
    """Limits and rules for what a batch may hold."""

    min_rows_per_relation: int = Field(
        10, ge=1, description="Accepted rows a relation must have; fewer rejects the batch."
    )
    min_train_rows_per_relation: int = Field(
        2, ge=1, description="Of those, rows that fall into the train split."
    )
    max_object_bytes: int = Field(2_000_000_000, ge=1, description="Largest stored object read.")
    max_decompressed_bytes: int = Field(4_000_000_000, ge=1)
    max_decompression_ratio: float = Field(200.0, gt=1)
    max_rows: int = Field(2_000_000, ge=1)
    max_text_chars: int = Field(20_000, ge=1, description="Longer rows are quarantined.")
    no_relation_labels: tuple[str, ...] = Field(
        ("no_relation", "Other", "NA"),
        description="Labels that mean 'none'; rows that carry one are quarantined.",
    )
    split_ratio: tuple[int, int, int] = Field(
        (3, 1, 1), description="train : validation : test for rows without a declared split."
    )
