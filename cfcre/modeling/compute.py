"""Device, precision, threads, and seeded regions: how the arithmetic runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cfcre.config import ComputeSettings
from cfcre.errors import ConfigurationError
from cfcre.modeling.parallel import local_place

__all__ = ["Compute", "seeded"]


@dataclass(frozen=True)
class Compute:
    """Where training and inference run.

    Attributes:
        device: The torch device.
        training_dtype: Precision of the transformer in training; parameters stay float32.
    """

    device: torch.device
    training_dtype: torch.dtype

    @classmethod
    def from_settings(cls, settings: ComputeSettings) -> Compute:
        """Choose device, precision and CPU threads.

        Raises:
            ConfigurationError: The device does not exist here.
        """
        name = settings.device
        place, processes = local_place()
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise ConfigurationError(
                f"compute.device: {name!r} is not auto, cpu, cuda or cuda:N"
            ) from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError(
                f"compute.device: {name!r} was asked for, but no CUDA device can be used here"
            )
        if processes > 1 and device.type == "cuda":
            device = _own_gpu(device, place, processes)
        torch.set_num_threads(settings.threads or _threads(processes))
        dtype = torch.float32
        if settings.precision == "bfloat16" or (
            settings.precision == "auto" and _native_bfloat16(device)
        ):
            dtype = torch.bfloat16
        return cls(device, dtype)

    @contextmanager
    def mixed(self) -> Iterator[None]:
        """The transformer in ``training_dtype``: training steps and what only training reads."""
        with torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.training_dtype == torch.bfloat16,
        ):
            yield


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Seed torch's generators inside the block and leave them as they were afterwards.

    Dropout takes no generator argument, so this is the only way to own its draws.
    """
    state = 0
    for part in seed:
        state = (state * 1_000_003 + part + 1) % (2**63)
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(state)
        yield


def _threads(processes: int) -> int:
    """Threads of one of the training processes of this machine, which share its cores.

    ``OMP_NUM_THREADS`` counts where it is set: Spark and cluster operators limit a process so,
    where the number of cores is that of a machine with other work.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    return max(1, (os.cpu_count() or 1) // processes)


def _own_gpu(device: torch.device, place: int, processes: int) -> torch.device:
    """The GPU of one of several processes of a machine: one each, by their order."""
    if ":" in str(device):
        raise ConfigurationError(
            f"compute.device: {device} names one GPU for {processes} processes; use auto or cuda"
        )
    count = torch.cuda.device_count()
    if count < processes:
        raise ConfigurationError(
            f"{processes} training processes were started where {count} GPUs can be used; set "
            f"compute.processes to {count}, or compute.device to cpu"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def _native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Emulated bfloat16 is slower than float32: ask for the instructions themselves.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
