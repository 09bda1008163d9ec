"""Reading the queue of storage events, in a thread of the watcher that leads.

A message is deleted only after the ledger has what it speaks of. Until then it is kept hidden, also
while store or ledger are away: it is not received again and again, which would carry it to the
dead-letter queue though nothing is wrong with it. A message that is not understood is shown again
at once, and the queue's redrive policy moves it away after ``maxReceiveCount`` receipts.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING, Protocol

from cfcre.errors import CfcreError, DataError, LeadershipLost
from cfcre.intake.events.notifications import InboxPlace, Look, Notification, parse_notification
from cfcre.operations.triggers.recorder import Recorder

if TYPE_CHECKING:
    from cfcre.intake.events.sqs import QueueMessage

__all__ = ["EventQueue", "QueueReader"]

log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 60.0


class EventQueue(Protocol):
    """What is needed of a queue, see :class:`cfcre.intake.events.sqs.SqsQueue`."""

    def receive(
        self, *, most: int, wait_seconds: int, visibility_seconds: int
    ) -> list[QueueMessage]:
        """Receive messages; they stay in the queue, hidden."""
        ...

    def delete(self, messages: Sequence[QueueMessage]) -> int:
        """Delete messages; returns how many were not."""
        ...

    def hide(self, messages: Sequence[QueueMessage], seconds: int) -> int:
        """Hide messages for so long from now; returns how many were not."""
        ...


class QueueReader:
    """Turns messages of a queue into looks at the inbox.

    Args:
        queue: The queue.
        place: Where the inbox lies.
        recorder: Brings the ledger up to date.
        check: Raises :class:`LeadershipLost` when this watcher must not act.
        count: Told the outcome of each delivery: recorded, test, ignored, not_understood, error.
        wait_seconds: Long polling.
        visibility_seconds: How long a message is hidden; renewed after a third of it.
        in_hand: Messages received before one look is taken for all of them.
    """

    def __init__(
        self,
        queue: EventQueue,
        place: InboxPlace,
        recorder: Recorder,
        *,
        check: Callable[[], None],
        count: Callable[[str, int], None],
        wait_seconds: int,
        visibility_seconds: int,
        in_hand: int,
    ) -> None:
        self._queue = queue
        self._place = place
        self._recorder = recorder
        self._check = check
        self._count = count
        self._wait = wait_seconds
        self._visibility = visibility_seconds
        self._in_hand = in_hand
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cfcre-queue", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Read nothing more. What is in hand and not deleted comes again, here or elsewhere."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def turn(self) -> int:
        """Receive what is there, record it, delete it; returns the number of deliveries.

        Raises:
            LeadershipLost: This watcher does not lead.
            CfcreError: The queue did not answer, or may not be used.
        """
        self._check()
        messages = self._receive()
        looks: list[QueueMessage] = []
        done: list[QueueMessage] = []
        strange: list[QueueMessage] = []
        wanted = Look()
        for message in messages:
            said = self._understand(message)
            if said is None or said.strange:
                strange.append(message)
                wanted |= said.look if said else Look()
            elif said.look:
                looks.append(message)
                wanted |= said.look
            else:
                done.append(message)
                self._count("test" if said.test else "ignored", 1)
        self._count("not_understood", len(strange))
        self._show_again(strange)
        self._queue.delete(done)
        try:
            recorded = not wanted or self._recorded(wanted, looks)
        except LeadershipLost:
            self._show_again(looks)
            raise
        if recorded:
            # A message that could not be deleted comes again and changes nothing.
            self._queue.delete(looks)
            self._count("recorded", len(looks))
        else:
            self._show_again(looks)
        return len(messages)

    def _receive(self) -> list[QueueMessage]:
        """The first messages, waited for, and those behind them, as long as there are some."""
        messages: list[QueueMessage] = []
        wait, end = self._wait, float("inf")
        # Not for longer than a third of the time for which the first ones are hidden: a queue that
        # answers slowly would show them again, and count, before anything was done about them.
        while (
            len(messages) < self._in_hand and time.monotonic() < end and not self._stopped.is_set()
        ):
            try:
                found = self._queue.receive(
                    most=self._in_hand - len(messages),
                    wait_seconds=wait,
                    visibility_seconds=self._visibility,
                )
            except CfcreError as error:
                if not messages:
                    raise
                log.warning("queue: %s; going on with %d messages", error, len(messages))
                break
            messages += found
            wait, end = 0, min(end, time.monotonic() + self._visibility / 3)
            if not found:
                break
        return messages

    def _understand(self, message: QueueMessage) -> Notification | None:
        try:
            said = parse_notification(message.body, self._place)
        except DataError as error:
            log.warning("queue: message %s, delivery %d: %s", message.id, message.deliveries, error)
            return None
        if said.strange:
            log.warning("queue: message %s: %d strange records", message.id, said.strange)
        return said

    def _recorded(self, look: Look, in_hand: Sequence[QueueMessage]) -> bool:
        """Look until it succeeds, and keep the messages hidden meanwhile; False when stopped."""
        failures = 0
        while not self._stopped.is_set():
            self._check()
            try:
                self._answer(self._recorder.request(look), in_hand)
            except CfcreError as error:
                if isinstance(error, LeadershipLost):
                    raise
                failures += 1
                self._count("error", len(in_hand))
                log.warning("queue: %d events could not be recorded yet: %s", len(in_hand), error)
                self._pause(failures, in_hand)
            else:
                self._check()
                return not self._stopped.is_set()
        return False

    def _answer(self, future: Future[int], in_hand: Sequence[QueueMessage]) -> None:
        while not self._stopped.is_set():
            if wait_for([future], timeout=self._visibility / 3).done:
                future.result()
                return
            self._check()
            self._keep_hidden(in_hand)

    def _pause(self, failures: int, in_hand: Sequence[QueueMessage]) -> None:
        left = min(_LONGEST_BACKOFF, 2.0 ** min(failures - 1, 10)) * random.uniform(0.75, 1.0)
        while left > 0 and not self._stopped.is_set():
            self._keep_hidden(in_hand)
            part = min(left, self._visibility / 3)
            self._stopped.wait(part)
            left -= part

    def _keep_hidden(self, messages: Sequence[QueueMessage]) -> None:
        try:
            self._queue.hide(messages, self._visibility)
        except CfcreError as error:
            # They may come again while they are worked on, which changes nothing.
            log.warning("queue: messages could not be kept hidden: %s", error)

    def _show_again(self, messages: Sequence[QueueMessage]) -> None:
        try:
            self._queue.hide(messages, 0)
        except CfcreError as error:
            log.warning("queue: messages come back after their timeout only: %s", error)

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                self.turn()
                failures = 0
            except LeadershipLost:
                self._stopped.wait(1.0)
            except Exception as error:
                failures += 1
                self._count("error", 1)
                if isinstance(error, CfcreError):
                    log.warning("queue: %s", error)
                else:
                    log.exception("queue: this is a bug; reading goes on")
                pause = min(_LONGEST_BACKOFF, 2.0 ** min(failures - 1, 10))
                self._stopped.wait(pause * random.uniform(0.75, 1.0))
