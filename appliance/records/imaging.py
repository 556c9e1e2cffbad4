"""What becomes of a record's frames: given back, or stored before the record's row may be committed.

begin ──▶ no image wanted ───────────────────────────────────────────▶ ready
     ├──▶ frame on the shelf ──▶ encoder ──▶ stored, or why not ──────▶ ready
     ├──▶ not there, decided before we started ──▶ found, or missing ─▶ ready
     └──▶ not there yet ──▶ a moment's patience ──▶ as above, or missing
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.records.absence import Absence
from appliance.records.encoder import ImageEncoder
from appliance.records.image_plan import ImageJob, ImagePlan, plan_images, wants_images
from appliance.records.images import ImageResult, ImageStore, image_field
from appliance.records.intake import Intaken
from appliance.records.shelf import FrameShelf
from appliance.records.work_thread import WorkThread
from appliance.ring import FrameLease

_PATIENCE_NS = 100 * NS_PER_MS  # a trigger with a reason is decided at once, maybe before its frame was offered to us


@dataclass
class _Waiting:
    """A record, and the pictures it waits for."""

    item: Intaken
    open: int
    results: list[ImageResult]


class Imaging:
    """Pictures of the records that pass through. Single-threaded; never waits for a disk.

    Args:
        ok_image_rates: By recipe name, share of OK parts whose pictures are kept.
        default_rate: For records that name no recipe.
        look_up: Does what reads the disk.
        may_write: Whether there is space.
    """

    def __init__(
        self,
        shelf: FrameShelf,
        encoder: ImageEncoder,
        store: ImageStore,
        *,
        ok_image_rates: Mapping[str, float],
        default_rate: float,
        look_up: WorkThread,
        may_write: Callable[[], bool],
    ) -> None:
        self._shelf, self._encoder, self._store, self._look_up = shelf, encoder, store, look_up
        self._may_write = may_write
        self._rates, self._default_rate = ok_image_rates, default_rate
        self._waiting: dict[str, _Waiting] = {}
        self._expected: deque[tuple[int, _Waiting, ImagePlan]] = deque()
        self._ready: list[Intaken] = []
        self.stored = 0
        self.missing: dict[str, int] = {}

    def __len__(self) -> int:
        """Records that wait for a picture."""
        return len({id(each) for each in self._waiting.values()})

    def begin(self, item: Intaken, now_ns: int) -> None:
        """Take a record in; `ready` gives it back when its `image` is settled."""
        record = item.record
        if record["kind"] != "inspection":
            self._ready.append(item)
            return
        if not wants_images(record, self._rate_of(record)):
            for view in record["views"]:
                self._shelf.drop(view["camera"], view["trigger_id"], now_ns)
            self._ready.append(item)
            return
        plans = plan_images(record)
        waiting = _Waiting(item, len(plans), [])
        for plan in plans:
            self._waiting[plan.stem] = waiting
            self._fetch(waiting, plan, now_ns, now_ns + _PATIENCE_NS)

    def ready(self, now_ns: int) -> list[Intaken]:
        """Give the records whose pictures are durable, or known to be missing."""
        for result in self._encoder.finished():
            self._settle(result)
        expected, self._expected = self._expected, deque()
        for until_ns, waiting, plan in expected:
            self._fetch(waiting, plan, now_ns, until_ns)
        ready, self._ready = self._ready, []
        return ready

    def status(self) -> dict[str, Any]:
        """Say what became of the pictures."""
        return {"stored": self.stored, "missing": dict(self.missing), "waiting": len(self)}

    def _fetch(self, waiting: _Waiting, plan: ImagePlan, now_ns: int, until_ns: int) -> None:
        lease = self._shelf.take(plan.camera, plan.trigger_id, now_ns)
        if lease is not None:
            with lease:
                self._encode(plan, lease)
            return
        if waiting.item.is_backlog:
            self._look_up.submit(lambda: self._find(plan), self._settle)
            return
        why = self._why_absent(waiting.item.record, plan)
        if why is Absence.NOT_LEASED and now_ns < until_ns:
            self._expected.append((until_ns, waiting, plan))
        else:
            self._settle(ImageResult(plan, why=why))

    def _encode(self, plan: ImagePlan, lease: FrameLease) -> None:
        if not self._may_write():
            self._settle(ImageResult(plan, why=Absence.DISK_FULL))
        elif not self._encoder.submit(ImageJob(plan, lease.pixels, lease.geometry.pixel_format)):
            self._settle(ImageResult(plan, why=Absence.QUEUE_FULL))

    def _find(self, plan: ImagePlan) -> ImageResult:
        """What an earlier recorder may have stored before it died. Runs in the other thread."""
        stored = self._store.find(plan)
        return ImageResult(plan, stored, why=None if stored else Absence.RECORDER_DOWN)

    def _why_absent(self, record: Mapping[str, Any], plan: ImagePlan) -> Absence:
        views = (view for view in record["views"] if view["camera"] == plan.camera)
        if all(view["frame_id"] is None for view in views if view["trigger_id"] == plan.trigger_id):
            return Absence.NO_FRAME
        return self._shelf.why_absent(plan.camera, plan.trigger_id)

    def _settle(self, result: ImageResult) -> None:
        if result.stored is not None:
            self.stored += 1
        else:
            word = str(result.why)
            self.missing[word] = self.missing.get(word, 0) + 1
        waiting = self._waiting.pop(result.plan.stem)
        waiting.results.append(result)
        waiting.open -= 1
        if waiting.open == 0:
            waiting.item.record["image"] = image_field(waiting.results)
            self._ready.append(waiting.item)

    def _rate_of(self, record: Mapping[str, Any]) -> float:
        recipe = record["recipe"]
        return self._default_rate if recipe is None else self._rates.get(recipe["name"], self._default_rate)
