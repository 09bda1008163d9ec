"""What each task of each pipeline gets: image, resources, no cache, its place on a cluster."""

# No "from __future__ import annotations" here: see continual_learning.py.
from dataclasses import dataclass

from kfp import dsl

from cfcre.config import KubeflowSettings, PipelineSettings
from cfcre_pipelines.cluster import equip, place_on_gpu

__all__ = ["Preparing"]


@dataclass(frozen=True)
class Preparing:
    """Prepares the tasks of one pipeline.

    Attributes:
        options: Image, GPU, sizes and times.
        kubeflow: What the pods get from the cluster; None for a run on one machine.
    """

    options: PipelineSettings
    kubeflow: KubeflowSettings | None

    def task(
        self, task: dsl.PipelineTask, *, memory: str = "1Gi", training: bool = False
    ) -> dsl.PipelineTask:
        """A task without a GPU.

        Args:
            task: The task.
            memory: Requested.
            training: Whether the longer time and the larger disk of training apply.
        """
        # A cached claim would hand out a stale token; a cached training step another run's state.
        task.set_caching_options(False)
        task.set_container_image(self.options.image)
        task.set_cpu_request("1").set_memory_request(memory)
        if self.kubeflow is None:
            return task
        return equip(task, self.options, self.kubeflow, training=training)

    def on_gpu(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """A task that trains in its own pod."""
        self.task(task, memory=self.options.train_memory, training=True)
        task.set_cpu_request(self.options.train_cpu)
        if self.options.gpu_count:
            task.set_accelerator_type(self.options.gpu_resource)
            task.set_accelerator_limit(self.options.gpu_count)
            if self.kubeflow is not None:
                place_on_gpu(task, self.options)
        return task

    def training(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """A task that trains in its own pod, or on the nodes of a TrainJob."""
        if self.options.training == "trainjob":
            # The nodes of the TrainJob train; this pod hands the job over and waits for them.
            return self.task(task, memory="2Gi", training=True)
        return self.on_gpu(task)

    def limits(self) -> dsl.PipelineConfig | None:
        """Of the run. A pod that nothing can schedule has no time of its own: only the run's."""
        if self.kubeflow is None:
            return None
        return dsl.PipelineConfig(active_deadline_seconds=self.options.run_timeout_seconds)
