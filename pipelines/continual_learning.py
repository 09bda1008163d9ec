"""Pipeline ``continual-learning``: one relation batch becomes one task of its stream.

``claim → ingest → validate → augment → train_task → select_memory → consolidate → evaluate →
register`` inside the exit handler ``settle``. The same definition runs on a cluster, compiled to
IR, and on one machine through ``kfp.local``.

Parameters hold no secret: the settings that travel are :meth:`Settings.portable`; the connections
(home, store, ledger, tracking) come from each component's environment.
"""

# No "from __future__ import annotations" here: kfp reads the annotations as types.
from typing import Any

from kfp import dsl

from cfcre.config import KubeflowSettings, PipelineSettings
from cfcre_components.augment.component import augment
from cfcre_components.claim.component import claim
from cfcre_components.consolidate.component import consolidate
from cfcre_components.evaluate.component import evaluate
from cfcre_components.ingest.component import ingest
from cfcre_components.register.component import register
from cfcre_components.select_memory.component import select_memory
from cfcre_components.settle.component import settle
from cfcre_components.train_task.component import train_task
from cfcre_components.validate.component import validate
from cfcre_pipelines.building import build_pipeline
from cfcre_pipelines.preparing import Preparing

__all__ = ["PIPELINE_NAME", "build", "continual_learning"]

PIPELINE_NAME = "continual-learning"


def build(options: PipelineSettings, kubeflow: KubeflowSettings | None = None) -> Any:
    """The pipeline with an image, resources and its place on a cluster baked in.

    Args:
        options: Image, GPU, sizes and times; they are fixed when the pipeline is compiled.
        kubeflow: What the pods get from the cluster; None for a run on one machine, which has no
            pods.

    Returns:
        A kfp pipeline with the parameters ``stream``, ``batch`` and ``settings``.
    """
    preparing = Preparing(options, kubeflow)
    prepare, prepare_training = preparing.task, preparing.training

    def continual_learning(stream: str, batch: str = "", settings: str = "{}") -> None:
        run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        settled = settle(stream=stream, batch=batch, settings=settings, run=run)
        prepare(settled)
        with dsl.ExitHandler(settled, name="task"):
            claimed = prepare(claim(stream=stream, batch=batch, settings=settings, run=run))
            token = claimed.outputs["claimed"]
            # Nothing to do is a normal end, so a schedule and an event may start the same pipeline.
            with dsl.If(claimed.outputs["Output"] == True, name="has-task"):  # noqa: E712
                raw = prepare(ingest(claim=token, settings=settings)).outputs["raw"]
                validated = prepare(validate(claim=token, settings=settings, raw=raw), memory="4Gi")
                rows = validated.outputs["accepted"]
                augmented = prepare(augment(claim=token, settings=settings, accepted=rows))
                trained = prepare_training(
                    train_task(
                        claim=token,
                        settings=settings,
                        accepted=rows,
                        auxiliary=augmented.outputs["auxiliary"],
                    )
                )
                selected = prepare(
                    select_memory(
                        claim=token,
                        settings=settings,
                        accepted=rows,
                        state=trained.outputs["state"],
                    ),
                    memory=options.train_memory,
                )
                consolidated = prepare_training(
                    consolidate(
                        claim=token,
                        settings=settings,
                        accepted=rows,
                        selected=selected.outputs["selected"],
                    )
                )
                judged = prepare(
                    evaluate(claim=token, settings=settings, state=consolidated.outputs["state"]),
                    memory=options.train_memory,
                )
                prepare(
                    register(
                        claim=token,
                        settings=settings,
                        verdict=judged.outputs["Output"],
                        accepted=rows,
                        evaluated=judged.outputs["evaluated"],
                        figures=judged.outputs["figures"],
                        train_facts=trained.outputs["metrics"],
                        consolidate_facts=consolidated.outputs["metrics"],
                    ),
                    memory="4Gi",
                )

    description = "Learns one relation batch, judges the result and registers it."
    return build_pipeline(PIPELINE_NAME, description, continual_learning, preparing.limits())


continual_learning = build(PipelineSettings())
