"""Several passes over the same examples with one optimiser, for a phase that has no rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from cfcre.data.tokenisation import EncodedExamples
from cfcre.methods.base import Session
from cfcre.methods.state import LearnerState
from cfcre.methods.training import Losses, make_optimizer, train_epoch
from cfcre.methods.vocabulary import compact_vocabulary
from cfcre.modeling.compute import seeded

__all__ = ["train_passes"]


def _nothing(encoded: EncodedExamples) -> None:
    """Nothing to prepare."""


def train_passes(
    state: LearnerState,
    session: Session,
    *,
    stage: str,
    phase: str,
    encoded: EncodedExamples,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Losses],
    heads: Sequence[nn.Parameter],
    passes: int,
    head_learning_rate: float | None = None,
    prepare: Callable[[EncodedExamples], None] = _nothing,
) -> None:
    """``passes`` passes over all examples, with an optimiser of their own.

    Args:
        state: Its encoder is trained in place; on the session's device already.
        session: Settings, arithmetic, randomness and log of the stage.
        stage: Name that progress is told under.
        phase: Name in the log.
        encoded: The examples.
        labels: int64 ``[N]``, handed to ``loss`` batch by batch: relations, or rows of the examples
            where the loss has to know which ones it sees.
        loss: Representations ``[B, d]`` and labels ``[B]`` to named losses.
        heads: Parameters outside the encoder that ``loss`` uses.
        passes: How often; 0 trains nothing.
        head_learning_rate: Of ``heads``; None is ``method.head_learning_rate``.
        prepare: Called before each pass with the examples as the encoder reads them now; they are
            all that may be represented inside.

    Raises:
        CfcreError: A loss is not finite.
    """
    settings = session.settings.method
    if head_learning_rate is not None:
        settings = settings.model_copy(update={"head_learning_rate": head_learning_rate})
    steps = passes * -(-len(encoded) // settings.batch_size)
    first = session.log.steps

    def progress(phase: str, done: int, total: int) -> None:
        session.progress(stage, session.log.steps - first + done, steps)

    with seeded(*session.seed), compact_vocabulary(state.encoder, encoded) as mapped:
        optimizer = make_optimizer(state.encoder, heads, settings)
        for _ in range(passes):
            prepare(mapped)
            train_epoch(
                phase=phase,
                encoder=state.encoder,
                optimizer=optimizer,
                encoded=mapped,
                labels=labels,
                loss=loss,
                heads=heads,
                group=session.group,
                settings=settings,
                compute=session.compute,
                generator=session.generator,
                log=session.log,
                progress=progress,
            )
