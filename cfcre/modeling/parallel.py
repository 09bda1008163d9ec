"""Several processes that train one model: who they are, their share of a batch, what they exchange.

Every process holds the whole model, draws the same batches from generators with the same seed, and
works on some rows of each batch. ``DistributedDataParallel`` averages the gradients; the weights
below make that average the gradient of the whole batch, whatever the number of rows a process has.
All losses of this package are means over examples of terms that look at one example each (the
anchors they are compared with are parameters or constants), so the parts need no other exchange.

One process is the group :data:`ALONE`; it exchanges nothing and costs nothing. A group of several
is entered with :func:`process_group`, in processes that ``torchrun`` started.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cfcre.errors import ConfigurationError, RetryableError

__all__ = ["ALONE", "Group", "Share", "current_group", "local_place", "process_group"]

#: Largest part of an array that is exchanged at once, in values.
_CHUNK = 1 << 24
#: Replicas whose sums differ by more, relative to their size, did not learn the same.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Share:
    """A process's part of one batch.

    Attributes:
        rows: Rows of the batch, one in ``size`` of them; never empty, see ``count``.
        count: How many of these rows count. 0 where the batch has fewer rows than there are
            processes: the process then works on the first row with weight 0, because every process
            has to take part in the exchange of gradients.
        whole: Rows of the batch.
        loss_weight: Factor on the mean loss of these rows that makes the average of the gradients
            over the processes the gradient of the whole batch's mean loss.
        log_weight: Factor that makes the sum of the processes' losses the whole batch's.
    """

    rows: slice
    count: int
    whole: int
    loss_weight: float
    log_weight: float


@dataclass(frozen=True)
class Group:
    """The processes of one training, as one of them sees them.

    Attributes:
        rank: Number of this process; 0 writes and reports.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def share(self, whole: int) -> Share:
        """This process's part of a batch of ``whole`` rows.

        Every ``size``-th row: a batch is sorted by length, so each part has long and short rows.
        """
        count = len(range(self.rank, whole, self.size))
        rows = slice(self.rank, None, self.size) if count else slice(0, 1)
        return Share(rows, count, whole, count * self.size / whole, count / whole)

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module with gradients averaged over the processes.

        Replicas are not synchronised here: all start from the same files and the same seed, which
        :meth:`check_replicas` verifies.
        """
        if self.size == 1:
            return module
        parallel = nn.parallel.DistributedDataParallel
        # Buffers are constants here; torch before 2.13 calls the option by its other name.
        new_name = "forward_sync_buffers" in inspect.signature(parallel).parameters
        buffers: dict[str, Any] = {
            "forward_sync_buffers" if new_name else "broadcast_buffers": False
        }
        return parallel(
            module,
            device_ids=[device.index] if device.type == "cuda" else None,
            init_sync=False,
            **buffers,
            # A step's graph is the same in every step of an epoch; parameters that an encoder does
            # not use are found in the first step instead of in each.
            static_graph=True,
        )

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes, on the CPU, in place; every process gets it."""
        if self.size > 1:
            flat = values.view(-1)
            for start in range(0, flat.numel(), _CHUNK):
                dist.all_reduce(flat[start : start + _CHUNK])
        return values

    def join(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """An array of which each process filled some rows and left the others zero, made whole."""
        self.sum(torch.from_numpy(values))
        return values

    def wait(self) -> None:
        """Until all processes are here, or for the group's timeout."""
        # Not a barrier: NCCL's has no timeout of its own on the host, gloo's exchange has.
        self.sum(torch.zeros(1))

    def check_same(self, digest: bytes, what: str) -> None:
        """Make sure that all processes were given the same.

        Args:
            digest: 32 bytes.
            what: What it is a digest of, for the message.

        Raises:
            ConfigurationError: One of them has another digest.
        """
        if self.size == 1:
            return
        own = torch.tensor(list(digest), dtype=torch.int64)
        low, high = own.clone(), own.clone()
        dist.all_reduce(low, op=dist.ReduceOp.MIN)
        dist.all_reduce(high, op=dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            raise ConfigurationError(
                f"the training processes were given different {what}; start all of them with the "
                "same job"
            )

    def check_replicas(self, tensors: Iterable[Tensor]) -> None:
        """Make sure that all processes hold the same weights up to rounding.

        Raises:
            RetryableError: They do not, for instance after a fault of the memory of one machine.
        """
        if self.size == 1:
            return
        sums = []
        for tensor in tensors:
            values = tensor.detach().double()
            sums += [values.sum(), values.abs().sum()]
        own = torch.stack(sums).cpu().view(-1, 2)
        low, high = own.clone(), own.clone()
        dist.all_reduce(low, op=dist.ReduceOp.MIN)
        dist.all_reduce(high, op=dist.ReduceOp.MAX)
        allowed = _TOLERANCE * (high[:, 1:].abs() + 1e-12)
        if not bool(((high - low) <= allowed).all()):
            raise RetryableError(
                "the training processes hold different weights after the same steps; look for a "
                "faulty machine or for different versions of torch on the nodes, then try again"
            )


ALONE = Group()
"""One process."""

_CURRENT: ContextVar[Group] = ContextVar("cfcre_process_group", default=ALONE)


def current_group() -> Group:
    """The group that this process is in; :data:`ALONE` outside of :func:`process_group`."""
    return _CURRENT.get()


def local_place(environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Rank and number of the training processes of this machine; (0, 1) for one process alone."""
    if current_group().size == 1:
        return 0, 1
    return int(environ.get("LOCAL_RANK", "0")), int(environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def process_group(
    timeout_seconds: float, *, cuda: bool, environ: Mapping[str, str] = os.environ
) -> Iterator[Group]:
    """Join the processes that ``torchrun`` started, for the length of the block.

    Args:
        timeout_seconds: How long one process waits for the others, in each exchange.
        cuda: Whether gradients are on CUDA devices: NCCL then exchanges them.
        environ: ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT`` as torchrun sets
            them.

    Raises:
        ConfigurationError: torchrun's variables are not set.
    """
    try:
        rank, size = int(environ["RANK"]), int(environ["WORLD_SIZE"])
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            "RANK and WORLD_SIZE are not set; start the processes with torchrun"
        ) from error
    if size == 1:
        yield ALONE
        return
    dist.init_process_group(
        # Arrays on the host are exchanged by gloo in either case.
        backend="cpu:gloo,cuda:nccl" if cuda else "gloo",
        timeout=timedelta(seconds=timeout_seconds),
    )
    token = _CURRENT.set(Group(rank, size))
    try:
        yield _CURRENT.get()
        # Only after success: with a process lost, tearing down would wait for it.
        dist.destroy_process_group()
    finally:
        _CURRENT.reset(token)
