"""What runs all the time: the watcher's triggers, and the server of the champion."""

from __future__ import annotations

from pydantic import Field

from cfcre.config.section import Section

__all__ = [
    "ServingSettings",
    "TriggerSettings",
]


class TriggerSettings(Section):
    """What wakes ``cfcre watch --interval`` beside the interval; docs/triggers.md."""

    sqs_queue_url: str | None = Field(
        None, description="Queue of storage events; only 'cfcre watch --interval' reads it."
    )
    sqs_wait_seconds: int = Field(20, ge=0, le=20, description="Long polling: wait for a message.")
    sqs_visibility_seconds: int = Field(
        120, ge=6, le=43_200, description="A received message is hidden so long; then renewed."
    )
    sqs_messages_in_hand: int = Field(
        500, ge=1, le=5_000, description="Messages received before the inbox is looked at once."
    )
    leader_lease_seconds: float = Field(
        30.0, ge=1, description="A standby takes over when the leader was silent for so long."
    )
    webhook_max_body_bytes: int = Field(1_048_576, ge=1_024, le=67_108_864)
    webhook_max_connections: int = Field(64, ge=1, le=1_000)
    webhook_body_seconds: float = Field(
        10.0, gt=0, description="A request must have arrived whole within so long."
    )
    webhook_answer_seconds: float = Field(
        20.0, gt=0, description="503 when the ledger has not got the batches within so long."
    )
    webhook_replay_seconds: float = Field(
        300.0, gt=0, description="A signature whose time differs by more is refused."
    )
    launch_seconds: float = Field(
        300.0, gt=0, description="Unhealthy when starting a run takes longer and nothing runs."
    )
    stalled_after_seconds: float = Field(
        900.0, gt=0, description="Unhealthy when one step takes longer, the run itself not counted."
    )


class ServingSettings(Section):
    """``cfcre serve``: the champion over HTTP."""

    host: str = Field("127.0.0.1", description="Interface to listen on; 0.0.0.0 in a container.")
    port: int = Field(5001, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    poll_seconds: float = Field(
        15.0, gt=0, description="How often the registry is asked where the champion alias points."
    )
    batch_window_seconds: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Longest wait for other requests that have arrived to join a forward pass.",
    )
    max_batch_rows: int = Field(256, ge=1, description="Rows of requests that are joined.")
    token_budget: int | None = Field(
        None,
        ge=64,
        description="Word pieces, padding included, that the encoder reads at once; null means 512 "
        "on a CPU, where padding costs more than it saves, else compute.inference_token_budget.",
    )
    max_rows: int = Field(1000, ge=1, description="Rows in one request.")
    max_text_chars: int = Field(20_000, ge=1, description="Characters in one text.")
    max_body_bytes: int = Field(2_000_000, ge=1, description="Bytes of one request's body.")
    max_requests: int = Field(64, ge=1, description="Requests being answered; more get 503.")
    max_queued_rows: int = Field(8192, ge=1, description="Rows that wait for a pass; then 503.")
    max_connections: int = Field(1024, ge=1, description="Open connections; more are closed.")
    request_timeout_seconds: float = Field(60.0, gt=0, description="Whole request; then 504.")
    body_timeout_seconds: float = Field(
        10.0, gt=0, description="Until headers, and after them the body, have arrived; then 408."
    )
    keep_alive_seconds: int = Field(
        75, ge=1, description="An idle connection is kept so long; longer than the proxy keeps it."
    )
    shutdown_delay_seconds: float = Field(
        0.0,
        ge=0,
        description="After SIGTERM, go on accepting so long, not ready, until nobody sends more.",
    )
    shutdown_grace_seconds: int = Field(
        25, ge=1, description="After that, finish what is in flight; then give up."
    )
    max_model_bytes: int = Field(
        8_000_000_000, ge=1, description="Largest version that is downloaded."
    )
    access_log: bool = Field(True, description="One line a request, without its content.")
