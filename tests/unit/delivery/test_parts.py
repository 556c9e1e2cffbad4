from appliance.delivery.parts import EXPIRES_NS, MAX_PENDING, Announcement, Claimed, PartBook
from appliance.messages import Part, Trigger, TriggerFlag
from appliance.messages.binding import Binding


def by_id(trigger_id: int, camera: str = "cam0") -> Binding:
    return Binding.model_validate({"trigger": {"camera": camera, "trigger_id": trigger_id}})


def by_encoder(count: int, tolerance: int = 0) -> Binding:
    return Binding.model_validate({"encoder": {"camera": "cam0", "count": count, "tolerance": tolerance}})


def part(name: str, bind: Binding, at_ns: int = 0) -> Announcement:
    return Announcement(bind, Part(name), at_ns=at_ns)


def trigger(trigger_id: int, count: int | None = None) -> Trigger:
    flags = TriggerFlag.COUNTED if count is not None else TriggerFlag(0)
    return Trigger(trigger_id, 0, encoder_count=count or 0, flags=flags)


def test_a_part_is_claimed_by_its_trigger_and_no_other() -> None:
    book = PartBook()
    book.add(part("A", by_id(5)))
    assert book.claim("cam0", trigger(4), None, 1) is None
    assert book.claim("cam1", trigger(5), None, 1) is None
    claimed = book.claim("cam0", trigger(5), None, 2)
    assert claimed is not None
    assert claimed.part.part_id == "A"
    assert book.claim("cam0", trigger(5), None, 3) is None
    assert book.find(by_id(5)) == Claimed(claimed, 2)


def test_a_controller_count_is_what_the_line_says_it_is() -> None:
    book = PartBook()
    book.add(part("A", Binding(controller_count=100)))
    assert book.claim("cam0", trigger(100), None, 1) is None
    assert book.claim("cam0", trigger(7), 100, 1) is not None


def test_an_encoder_position_takes_the_nearest_within_its_tolerance() -> None:
    book = PartBook()
    for name, count in (("A", 100), ("B", 110), ("C", 120)):
        book.add(part(name, by_encoder(count, tolerance=6)))
    assert book.claim("cam0", trigger(1), None, 1) is None, "the camera delivers no counter"
    found = [book.claim("cam0", trigger(1, count), None, 1) for count in (93, 106, 106, 106, 121)]
    assert [one.part.part_id if one else None for one in found] == [None, "B", "A", None, "C"]
    assert len(book) == 0


def test_a_part_is_bound_once_until_its_verdict() -> None:
    book = PartBook()
    first = part("A", by_id(5))
    book.add(first)
    again = part("A", by_id(6))
    assert book.bound_elsewhere(again) == by_id(5)
    assert book.bound_elsewhere(first) is None
    book.claim("cam0", trigger(5), None, 1)
    assert book.bound_elsewhere(again) == by_id(5)
    assert book.unsettled() == [first]
    book.settle(first)
    assert book.bound_elsewhere(again) is None, "a rework may pass again"
    assert book.unsettled() == []


def test_two_announcements_for_one_trigger_are_a_contradiction_that_is_counted() -> None:
    book = PartBook()
    book.add(part("A", by_id(5)))
    book.add(part("B", by_encoder(50)))
    claimed = book.claim("cam0", trigger(5, 50), None, 1)
    assert claimed is not None
    assert claimed.part.part_id == "A"
    assert book.contradictions == 1
    assert len(book) == 0


def test_only_so_many_wait_and_the_oldest_expire() -> None:
    book = PartBook()
    for number in range(MAX_PENDING):
        assert book.has_room(number)
        book.add(part(f"P{number}", by_encoder(number), at_ns=number))
    assert not book.has_room(MAX_PENDING)
    assert book.has_room(EXPIRES_NS + 1)
    assert book.expired == 2
    assert book.claim("cam0", trigger(1, 0), None, 1) is None
    assert book.claim("cam0", trigger(1, 2), None, 1) is not None
