"""Pipeline ``joint-extraction``: one batch of documents becomes one version of the span model.

``claim → read_documents → train_spans → evaluate_spans → register_spans → register_extractor``
inside the exit handler ``settle``. Claim and settle are those of ``continual-learning``: a batch of
documents is a batch of its own stream, so lease, fencing, retries and poison are the same.
"""

# No "from __future__ import annotations" here: kfp reads the annotations as types.
from typing import Any

from kfp import dsl

from cfcre.config import KubeflowSettings, PipelineSettings
from cfcre_components.claim.component import claim
from cfcre_components.evaluate_spans.component import evaluate_spans
from cfcre_components.read_documents.component import read_documents
from cfcre_components.register_extractor.component import register_extractor
from cfcre_components.register_spans.component import register_spans
from cfcre_components.settle.component import settle
from cfcre_components.train_spans.component import train_spans
from cfcre_pipelines.building import build_pipeline
from cfcre_pipelines.preparing import Preparing

__all__ = ["PIPELINE_NAME", "build", "joint_extraction"]

PIPELINE_NAME = "joint-extraction"


def build(options: PipelineSettings, kubeflow: KubeflowSettings | None = None) -> Any:
    """The pipeline with an image, resources and its place on a cluster baked in.

    Args:
        options: Image, GPU, sizes and times. A span model trains in the pod of its task, whatever
            ``training`` says.
        kubeflow: What the pods get from the cluster; None for a run on one machine.

    Returns:
        A kfp pipeline with the parameters ``stream``, ``batch`` and ``settings``.
    """
    preparing = Preparing(options, kubeflow)
    prepare = preparing.task

    def joint_extraction(stream: str, batch: str = "", settings: str = "{}") -> None:
        run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        settled = settle(stream=stream, batch=batch, settings=settings, run=run)
        prepare(settled)
        with dsl.ExitHandler(settled, name="task"):
            claimed = prepare(claim(stream=stream, batch=batch, settings=settings, run=run))
            token = claimed.outputs["claimed"]
            # Nothing to do is a normal end, so a schedule and an event may start the same pipeline.
            with dsl.If(claimed.outputs["Output"] == True, name="has-task"):  # noqa: E712
                read = prepare(read_documents(claim=token, settings=settings), memory="4Gi")
                corpus = read.outputs["corpus"]
                trained = preparing.on_gpu(
                    train_spans(claim=token, settings=settings, corpus=corpus)
                )
                judged = prepare(
                    evaluate_spans(
                        claim=token,
                        settings=settings,
                        corpus=corpus,
                        model=trained.outputs["model"],
                    ),
                    memory=options.train_memory,
                )
                registered = prepare(
                    register_spans(
                        claim=token,
                        settings=settings,
                        verdict=judged.outputs["Output"],
                        evaluated=judged.outputs["evaluated"],
                        train_facts=trained.outputs["metrics"],
                    ),
                    memory="4Gi",
                )
                prepare(
                    register_extractor(
                        claim=token, settings=settings, after=registered.outputs["Output"]
                    ),
                    memory=options.train_memory,
                )

    description = "Trains the span model on all documents so far, judges and registers it."
    return build_pipeline(PIPELINE_NAME, description, joint_extraction, preparing.limits())


joint_extraction = build(PipelineSettings())
