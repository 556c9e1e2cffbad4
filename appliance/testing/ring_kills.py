"""Scenarios that kill one end of the ring again and again; the short tests and the soak differ only in how often."""

import random
import select
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from appliance.messages import Reason
from appliance.ring import FrameLease, FrameRing, RingReader, SlotState
from appliance.testing.marked_frames import MarkingCamera, is_intact, marked_layout
from appliance.testing.nursery import Nursery
from appliance.testing.patience import PATIENCE_S
from appliance.testing.ring_children import TORN, board

CHILDREN = "appliance.testing.ring_children"
_WORKS_FIRST = 5


@contextmanager
def served(ring: FrameRing) -> Iterator[FrameRing]:
    """Run a ring's service thread; ends it and closes the ring."""
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            ring.serve(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ring
    finally:
        is_over.set()
        thread.join()
        ring.close()


def wait_until(condition: object, what: str) -> None:
    """Poll a callable until it is true; fails after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.002)


def expose_for(camera: MarkingCamera, seconds: float) -> None:
    """Deliver a frame about every third of a millisecond."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        camera.expose()
        time.sleep(0.0003)


def kill_readers(folder: Path, kills: int, *, seed: int) -> dict[str, int]:
    """Kill `kills` inspectors while one writer delivers and one observer survives; checks every promise.

    Gives counts of what happened, so that a test can tell that something did.
    """
    random_ = random.Random(seed)
    doomed, survivor = board(folder / "doomed"), board(folder / "survivor")
    path = folder / "ring"
    with served(FrameRing(path)) as ring, Nursery(CHILDREN) as nursery:
        ring.renew(marked_layout(16, words=512))
        camera = MarkingCamera(ring)
        witness = nursery.start(f"{CHILDREN}:read", str(path), "observer", str(folder / "survivor"), seed, 0.001)
        wait_until(lambda: ring.status()["readers"] == 1, "the observer connects")
        for kill in range(kills):
            pid = nursery.start(f"{CHILDREN}:read", str(path), "inspector", str(folder / "doomed"), seed + kill, 0.02)
            expose_for(camera, random_.uniform(0.001, 0.03))
            if kill % _WORKS_FIRST == 0:  # however slow the machine is, one in so many has read something
                before = int(doomed.sum())
                wait_until(lambda before=before: camera.expose() and int(doomed.sum()) > before, "the inspector reads")
            assert nursery.kill(pid) == -9
        wait_until(lambda: ring.status()["leased"] == 0, "every slot comes back")
        nursery.kill(witness)
        wait_until(lambda: ring.status()["readers"] == 0, "the observer's end is noticed")
        assert ring.table is not None
        assert ring.table.states == [SlotState.FREE] * 16
        dropped = ring.status()["dropped"]
    assert not (doomed == TORN).any(), "pixels changed under an inspector's lease"
    assert not (survivor == TORN).any(), "pixels changed under the observer's lease"
    assert doomed.max() <= 1, f"trigger {doomed.argmax()} was offered to inspectors {doomed.max()} times"
    assert survivor.max() <= 1, f"trigger {survivor.argmax()} was offered to the observer {survivor.max()} times"
    outcomes = list(camera.outcomes.values())
    assert dropped == outcomes.count(Reason.RING_FULL)
    assert set(np.flatnonzero(doomed).tolist()) <= {i for i, reason in camera.outcomes.items() if reason is Reason.NONE}
    return {"frames": len(outcomes), "inspected": int(doomed.sum()), "observed": int(survivor.sum())}


def kill_writers(folder: Path, kills: int, *, seed: int) -> dict[str, int]:
    """Kill `kills` writers under one inspector that holds leases over each death; checks every promise."""
    random_ = random.Random(seed)
    offered = board(folder / "offered")
    path = folder / "ring"
    seen: set[int] = set()
    held: list[FrameLease] = []
    last_words = first_id = 0
    with Nursery(CHILDREN) as nursery, closing(RingReader(path)) as reader:
        for kill in range(kills):
            first_id = max(seen, default=0) + 10
            pid = nursery.start(f"{CHILDREN}:write", str(path), str(folder / "offered"), first_id, 16, 512)
            wait_until(reader.connect, "the next writer listens")
            _read_for(reader, random_, seen, held, random_.uniform(0.002, 0.04))
            if kill % _WORKS_FIRST == 0:
                wait_until(lambda: _take(reader, seen, held), "a frame is leased at the writer's death")
            nursery.kill(pid)
            assert all(is_intact(lease) for lease in held)
            wait_until(lambda: not _take(reader, seen, held) and not reader.is_connected, "the end is noticed")
            assert all(is_intact(lease) for lease in held), "a dead writer's frames stay readable"
            sent = set((np.flatnonzero(offered[first_id:]) + first_id).tolist())
            got = {trigger_id for trigger_id in seen if trigger_id >= first_id}
            assert sent <= got, f"sent before the death, never received: {sorted(sent - got)[:5]}"
            assert len(got - sent) <= 1, "at most the one it was just noting"
            last_words += bool(held)
            del held[: -random_.randrange(1, 5)]  # a few outlive several writers; the others are just forgotten
    return {"frames": len(seen), "deaths_with_leases": last_words}


def _take(reader: RingReader, seen: set[int], held: list[FrameLease]) -> int:
    leases = reader.receive()
    for lease in leases:
        assert lease.trigger.trigger_id not in seen, f"trigger {lease.trigger.trigger_id} twice"
        seen.add(lease.trigger.trigger_id)
        assert is_intact(lease)
    held += leases
    return len(leases)


def _read_for(
    reader: RingReader, random_: random.Random, seen: set[int], held: list[FrameLease], seconds: float
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and reader.is_connected:
        select.select([reader.fileno()], [], [], 0.01)
        _take(reader, seen, held)
        random_.shuffle(held)
        while len(held) > random_.randrange(12):
            lease = held.pop()
            assert is_intact(lease), "pixels changed under a lease"
            lease.release()


def stop_reader(folder: Path, *, seed: int) -> dict[str, int]:
    """Stop an inspector (SIGSTOP: no EOF, no releases) at its quota, go through generations, let it go on."""
    seen = board(folder / "seen")
    witness_seen = board(folder / "witness")
    path = folder / "ring"
    with served(FrameRing(path)) as ring, Nursery(CHILDREN) as nursery:
        ring.renew(marked_layout(16, words=64))
        camera = MarkingCamera(ring)
        inspector = nursery.start(f"{CHILDREN}:read", str(path), "inspector", str(folder / "seen"), seed, 0.0)
        nursery.start(f"{CHILDREN}:read", str(path), "observer", str(folder / "witness"), seed, 0.0)
        wait_until(lambda: ring.status()["readers"] == 2 and ring.has_inspector, "both connect")
        expose_for(camera, 0.05)
        assert camera.outcomes[camera.next_id - 1] is Reason.NONE
        nursery.stop(inspector)
        expose_for(camera, 0.1)
        assert list(camera.outcomes.values()).count(Reason.RING_FULL) == ring.status()["dropped"] > 0
        assert ring.status()["leased"] == 14, "two slots stay with the camera"
        deadline = time.monotonic() + PATIENCE_S
        generations = 0
        while ring.has_inspector and time.monotonic() < deadline:
            ring.renew(marked_layout(16, words=64))
            generations += 1
            camera.expose()
        assert not ring.has_inspector, "a reader that can't hear of new memory is hung up on"
        camera.expose()
        assert camera.outcomes[camera.next_id - 1] is Reason.INSPECTOR_DOWN
        nursery.go_on(inspector)
        wait_until(lambda: ring.has_inspector, "it comes back")
        before = int(seen.sum())
        expose_for(camera, 0.05)
        wait_until(lambda: int(seen.sum()) > before, "it reads again")
        wait_until(lambda: ring.status()["leased"] == 0, "every slot comes back")
    assert seen.max() == 1, "no frame twice, none torn"
    assert witness_seen.max() == 1
    return {"generations": generations, "frames": len(camera.outcomes)}
