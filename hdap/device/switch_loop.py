"""The background of a switcher: takes wishes, asks the policy, and swaps variants."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hdap.device.messages import DecisionLog, first_line
from hdap.device.policies.base import State
from hdap.device.process import give_back
from hdap.device.serving import Serving
from hdap.device.variant_chooser import VariantChooser
from hdap.device.warm_up import WarmUp


@dataclass(frozen=True)
class Event:
    """A switch, or one that was refused (`ms` None): seconds since the start, and why."""

    at_s: float
    variant: str
    reason: str
    ms: float | None


@dataclass(frozen=True)
class LoopFigures:
    """Switches and refusals since the start, the last of them, and what is under way."""

    switching_to: int | None
    held: bool
    switches: int
    refused: int
    events: tuple[Event, ...]


class SwitchLoop:
    """A thread that opens the next variant while the old one serves, then replaces it.

    `names` are those of the variants; without a chooser only wishes count.
    """

    def __init__(
        self,
        names: Sequence[str],
        serving: Serving,
        warm_up: WarmUp,
        chooser: VariantChooser | None,
        state: Callable[[], State],
        log: DecisionLog,
    ) -> None:
        self._names, self._serving, self._warm_up = names, serving, warm_up
        self._chooser, self._state, self._log = chooser, state, log
        self._changed = threading.Condition()
        self._wish: tuple[int, str] | None = None
        self._doing: int | None = None
        self._held = self._closed = False
        self._switches = self._refused = 0
        self._events: deque[Event] = deque(maxlen=100)
        self._thread = threading.Thread(target=self._work, name="switcher", daemon=True)
        self._thread.start()

    def ask(self, place: int, reason: str) -> None:
        """Wish for a variant and hold it against the policy; replaces a wish that waits."""
        with self._changed:
            self._held, self._wish = True, (place, reason)
            self._changed.notify_all()

    def follow(self) -> None:
        """Give the choice back to the policy."""
        with self._changed:
            self._held = False

    def wait(self, timeout: float | None) -> bool:
        """Until nothing is under way or asked for; False: not yet."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._wish is None and self._doing is None, timeout
            )

    def figures(self) -> LoopFigures:
        """What was done so far."""
        with self._changed:
            doing = self._doing if self._wish is None else self._wish[0]
            return LoopFigures(
                doing, self._held, self._switches, self._refused, tuple(self._events)
            )

    def stop(self) -> None:
        """End after what is under way."""
        with self._changed:
            self._closed, self._wish = True, None
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end; what is under way needs the requests on the old variant to end."""
        self._thread.join()

    def _work(self) -> None:
        period = self._chooser.settings.period_s if self._chooser else None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wish is not None, period)
                if self._closed:
                    return
                wish, self._wish = self._wish, None
                held = self._held
                self._doing = None if wish is None else wish[0]
            try:
                if wish is None and not held and self._chooser is not None:
                    wish = self._chooser.choose(self._state(), time.monotonic())
                if wish is not None:
                    self._swap(*wish)
            finally:
                with self._changed:
                    self._doing = None
                    self._changed.notify_all()

    def _swap(self, place: int, reason: str) -> None:
        old = self._serving.current
        name, was = self._names[place], self._names[old.place]
        if place == old.place:
            return
        with self._changed:
            self._doing = place
        started = time.monotonic()
        try:
            opened = self._warm_up.beside_requests(place, gently=place > old.place)
        except Exception as error:
            self._refuse(place, first_line(error))
            return
        if self._chooser is not None:
            self._chooser.works(place)
        if place > old.place and self._too_late(place):
            del opened
            give_back()
            self._log.tell(f"stay with {was}: {name} is ready, but no longer wanted")
            return
        ms = 1e3 * (time.monotonic() - started)
        self._serving.replace(opened)
        with self._changed:
            self._switches += 1
            self._events.append(Event(self._log.age, name, reason, ms))
        self._log.tell(f"to {name} (from {was}, ready in {ms:.0f} ms): {reason}")
        self._serving.retire(old)

    def _refuse(self, place: int, why: str) -> None:
        if self._chooser is not None:
            self._chooser.broke(place, time.monotonic())
        with self._changed:
            self._refused += 1
            self._events.append(Event(self._log.age, self._names[place], why, None))
        self._log.tell(f"{why}; {self._names[self._serving.current.place]} keeps serving")

    def _too_late(self, place: int) -> bool:
        """Whether a more costly variant is no longer wanted once it is ready."""
        with self._changed:
            held, waiting = self._held, self._wish
        if waiting is not None:
            return waiting[0] != place
        if held or self._chooser is None:
            return False
        return not self._chooser.still_wants(place, self._state())
