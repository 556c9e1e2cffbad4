"""The grabber's voice: file first, then a datagram. Used by all of its threads, one lock around pen and link."""

import threading
from pathlib import Path

from appliance.errors import TallyFull
from appliance.messages import Reason, Trigger
from appliance.tally import AnnouncedWriter
from appliance.wire.publisher_link import PublisherLink


class Announcer:
    """Writes triggers where they exist from then on, and wakes the publisher, which may be away.

    Attributes:
        triggers: Announced by this process.
        unannounced: Triggers that found no room, because the publisher has not decided the oldest ones: lost to the
            ledger, and therefore counted here.
    """

    def __init__(self, runtime_dir: Path, state_dir: Path, camera: str) -> None:
        self._camera = camera
        self._lock = threading.Lock()
        self._pen = AnnouncedWriter(runtime_dir, state_dir, camera)
        self._link = PublisherLink(runtime_dir)
        self.triggers = 0
        self.unannounced = 0

    @property
    def last(self) -> Trigger | None:
        """The trigger announced last, also by a killed predecessor of this boot."""
        return self._pen.last

    @property
    def next_trigger_id(self) -> int:
        """Id that the next trigger must carry."""
        return self._pen.next_trigger_id

    def announce(self, triggers: tuple[Trigger, ...]) -> bool:
        """Announce triggers in order, then wake the publisher once; tells whether all of them found room."""
        with self._lock:
            done = 0
            try:
                for trigger in triggers:
                    self._pen.announce(trigger)
                    done += 1
            except TallyFull:
                self.unannounced += len(triggers) - done
            self.triggers += done
            if done:
                self._link.wake()
        return done == len(triggers)

    def amend(self, trigger: Trigger) -> None:
        """Write an announced trigger again, now that its reason is known."""
        assert trigger.reason is not Reason.NONE
        with self._lock:
            self._pen.amend(trigger)
            self._link.wake(trigger.trigger_id)

    def keep_link(self) -> None:
        """Notice a publisher that has gone, connect to one that is there; cheap enough for every loop."""
        with self._lock:
            self._link.poll()
            self._link.connect({"role": "grabber", "camera": self._camera})

    def close(self) -> None:
        """Hang up; the file stays."""
        with self._lock:
            self._link.close()
            self._pen.close()
