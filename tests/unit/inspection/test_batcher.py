from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import NS_PER_MS
from appliance.inspection.batcher import Batcher, Waiting
from appliance.inspection.cost import BatchCost

MARGIN_NS = NS_PER_MS
SIZE_BYTES = 100


def cost_of(*batch_ms: float) -> BatchCost:
    cost = BatchCost()
    for size, took_ms in enumerate(batch_ms, start=1):
        cost.learn(size, int(took_ms * NS_PER_MS))
    return cost


def frame(
    name: str, *, camera: str = "top", ready_ms: float = 0, deadline_ms: float = 1000, slot: int = 0
) -> Waiting[str]:
    ready_ns, deadline_ns = int(ready_ms * NS_PER_MS), int(deadline_ms * NS_PER_MS)
    base = 1_000_000 if camera == "top" else 2_000_000
    return Waiting(camera, name, ready_ns, deadline_ns, base + slot * SIZE_BYTES, SIZE_BYTES)


def batcher_with(*frames: Waiting[str], cost: BatchCost, max_batch: int = 4, max_wait_ms: float = 4) -> Batcher[str]:
    batcher = Batcher[str](
        max_batch=max_batch, max_wait_ns=int(max_wait_ms * NS_PER_MS), margin_ns=MARGIN_NS, cost=cost
    )
    for waiting in frames:
        batcher.add(waiting)
    return batcher


def names(batch: list[Waiting[str]]) -> list[str]:
    return [waiting.frame for waiting in batch]


NO_GAIN = cost_of(10, 20, 30, 40)
GREAT_GAIN = cost_of(10, 11, 12, 13)


def test_nothing_is_due_without_frames() -> None:
    batcher = batcher_with(cost=NO_GAIN)
    assert batcher.due_ns() is None
    assert batcher.take(0) == []


def test_full_batch_goes_at_once() -> None:
    batcher = batcher_with(*(frame(str(slot), slot=slot) for slot in range(5)), cost=NO_GAIN)
    assert batcher.due_ns() == 0
    assert names(batcher.take(0)) == ["0", "1", "2", "3"]
    assert len(batcher) == 1


def test_lone_frame_waits_for_company_no_longer_than_the_longest_wait() -> None:
    batcher = batcher_with(frame("a", ready_ms=1), cost=GREAT_GAIN)
    assert batcher.due_ns() == 5 * NS_PER_MS
    assert batcher.take(5 * NS_PER_MS - 1) == []
    assert names(batcher.take(5 * NS_PER_MS)) == ["a"]


def test_nobody_waits_for_company_that_saves_no_time() -> None:
    batcher = batcher_with(frame("a", ready_ms=1), cost=NO_GAIN)
    assert batcher.due_ns() == 1 * NS_PER_MS


def test_near_deadline_ends_the_wait() -> None:
    batcher = batcher_with(frame("a", deadline_ms=13), cost=GREAT_GAIN)
    assert batcher.due_ns() == 2 * NS_PER_MS  # 13 ms less 10 ms of inference and 1 ms of margin


def test_stopping_hands_out_what_waits() -> None:
    batcher = batcher_with(frame("a"), frame("b", camera="side"), cost=NO_GAIN)
    assert names(batcher.take(0, is_stopping=True)) == ["a"]
    assert names(batcher.take(0, is_stopping=True)) == ["b"]


def test_neighbours_stay_together_where_a_mixed_batch_saves_nothing() -> None:
    frames = [frame("a", slot=6), frame("b", slot=7), frame("c", slot=0), frame("d", slot=1)]
    batcher = batcher_with(*frames, cost=NO_GAIN)
    assert names(batcher.take(0)) == ["a", "b"]
    assert names(batcher.take(4 * NS_PER_MS)) == ["c", "d"]


def test_frames_of_several_cameras_share_a_batch_where_it_saves_time() -> None:
    frames = [frame("a"), frame("b", camera="side", ready_ms=1), frame("c", slot=1), frame("d", slot=7)]
    batcher = batcher_with(*frames, cost=GREAT_GAIN)
    assert sorted(names(batcher.take(0))) == ["a", "b", "c", "d"]


def test_batch_stays_small_where_a_larger_one_would_be_late() -> None:
    frames = [frame(str(slot), slot=slot, deadline_ms=35) for slot in range(4)]
    batcher = batcher_with(*frames, cost=NO_GAIN)
    assert names(batcher.take(0)) == ["0", "1", "2"]


def test_late_frames_are_given_up() -> None:
    batcher = batcher_with(frame("late", deadline_ms=5), frame("good", slot=1), cost=NO_GAIN)
    assert names(batcher.give_up(5 * NS_PER_MS)) == ["late"]
    assert len(batcher) == 1


def test_frames_without_hope_make_way_for_others_but_the_last_one_runs() -> None:
    frames = [frame(str(slot), slot=slot, deadline_ms=15) for slot in range(3)]
    batcher = batcher_with(*frames, cost=NO_GAIN)
    assert names(batcher.give_up(8 * NS_PER_MS)) == ["0", "1"]
    assert names(batcher.take(8 * NS_PER_MS)) == ["2"]


def test_unlearned_batch_size_is_guessed_in_proportion() -> None:
    assert cost_of(10).mean_ns(3) == 30 * NS_PER_MS
    assert BatchCost().cautious_ns(2) == 0


def test_cautious_cost_grows_with_the_spread() -> None:
    cost = cost_of(10)
    for took_ms in (10, 18) * 20:
        cost.learn(1, took_ms * NS_PER_MS)
    assert 12 * NS_PER_MS < cost.mean_ns(1) < 16 * NS_PER_MS
    assert cost.cautious_ns(1) > 18 * NS_PER_MS


@dataclass(frozen=True)
class Arrival:
    gap_ns: int
    camera: str
    time_left_ns: int
    skips_a_slot: bool


arrivals = st.lists(
    st.builds(
        Arrival,
        gap_ns=st.integers(0, 3 * NS_PER_MS),
        camera=st.sampled_from(["top", "side", "back"]),
        time_left_ns=st.integers(1, 60 * NS_PER_MS),
        skips_a_slot=st.booleans(),
    ),
    max_size=40,
)


class Simulation:
    """Drives a batcher by its own `due_ns`, with runs that take exactly the learned time, or none."""

    def __init__(self, batcher: Batcher[int], cost: BatchCost, run_ns_per_frame: int) -> None:
        self.batcher = batcher
        self.cost = cost
        self.run_ns_per_frame = run_ns_per_frame
        self.now_ns = 0
        self.batches: list[tuple[int, list[Waiting[int]]]] = []
        self.given_up: list[tuple[int, Waiting[int]]] = []

    def run_until(self, end_ns: int) -> None:
        while True:
            self.given_up += [(self.now_ns, waiting) for waiting in self.batcher.give_up(self.now_ns)]
            due_ns = self.batcher.due_ns()
            if due_ns is None or max(due_ns, self.now_ns) > end_ns:
                break
            self.now_ns = max(self.now_ns, due_ns)
            batch = self.batcher.take(self.now_ns)
            assert batch, "nothing came at the time that was promised"
            self.batches.append((self.now_ns, batch))
            self.now_ns += self.run_ns_per_frame * len(batch)
        self.now_ns = max(self.now_ns, end_ns)


def simulate(
    plan: list[Arrival], max_batch: int, max_wait_ns: int, run_ns: int, learned_ns: list[int]
) -> tuple[Simulation, list[Waiting[int]], BatchCost]:
    cost = BatchCost()
    for size, took_ns in enumerate(learned_ns, start=1):
        cost.learn(size, took_ns)
    batcher = Batcher[int](max_batch=max_batch, max_wait_ns=max_wait_ns, margin_ns=MARGIN_NS, cost=cost)
    simulation = Simulation(batcher, cost, run_ns)
    sent: list[Waiting[int]] = []
    arrival_ns, slots = 0, {"top": 0, "side": 1000, "back": 2000}
    for number, arrival in enumerate(plan):
        arrival_ns += arrival.gap_ns
        simulation.run_until(arrival_ns)
        slots[arrival.camera] += 2 if arrival.skips_a_slot else 1
        waiting = Waiting(
            arrival.camera,
            number,
            simulation.now_ns,
            simulation.now_ns + arrival.time_left_ns,
            slots[arrival.camera] * SIZE_BYTES,
            SIZE_BYTES,
        )
        batcher.add(waiting)
        sent.append(waiting)
    simulation.run_until(arrival_ns + 10_000 * NS_PER_MS)
    return simulation, sent, cost


scenario = {
    "plan": arrivals,
    "max_batch": st.integers(1, 5),
    "max_wait_ns": st.integers(0, 8 * NS_PER_MS),
    "learned_ns": st.lists(st.integers(0, 30 * NS_PER_MS), max_size=5),
}


@given(**scenario, run_ns=st.integers(0, 20 * NS_PER_MS))
def test_every_frame_comes_out_once_and_each_camera_in_order(
    plan: list[Arrival], max_batch: int, max_wait_ns: int, run_ns: int, learned_ns: list[int]
) -> None:
    simulation, sent, _ = simulate(plan, max_batch, max_wait_ns, run_ns, learned_ns)
    taken = [waiting for _, batch in simulation.batches for waiting in batch]
    gone = [waiting for _, waiting in simulation.given_up]
    assert sorted(waiting.frame for waiting in taken + gone) == [waiting.frame for waiting in sent]
    assert len(simulation.batcher) == 0
    assert all(1 <= len(batch) <= max_batch for _, batch in simulation.batches)
    for camera in ("top", "side", "back"):
        numbers = [waiting.frame for waiting in taken if waiting.camera == camera]
        assert numbers == sorted(numbers)


@given(**scenario)
def test_no_frame_waits_past_its_wait_or_latest_start_while_the_session_is_free(
    plan: list[Arrival], max_batch: int, max_wait_ns: int, learned_ns: list[int]
) -> None:
    simulation, _, cost = simulate(plan, max_batch, max_wait_ns, 0, learned_ns)
    for start_ns, batch in simulation.batches:
        for waiting in batch:
            assert start_ns <= waiting.ready_ns + max_wait_ns
            latest_ns = waiting.deadline_ns - MARGIN_NS - cost.cautious_ns(len(batch))
            assert start_ns <= max(latest_ns, waiting.ready_ns)


@given(**scenario, run_ns=st.integers(0, 20 * NS_PER_MS))
def test_only_frames_without_hope_are_given_up(
    plan: list[Arrival], max_batch: int, max_wait_ns: int, run_ns: int, learned_ns: list[int]
) -> None:
    simulation, _, cost = simulate(plan, max_batch, max_wait_ns, run_ns, learned_ns)
    for now_ns, waiting in simulation.given_up:
        assert waiting.deadline_ns <= now_ns + cost.mean_ns(1)
