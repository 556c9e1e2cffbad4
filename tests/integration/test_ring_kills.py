"""kill -9 and SIGSTOP on either end of the ring, with real processes; the soak does the same for longer."""

from pathlib import Path

from appliance.testing.ring_kills import kill_readers, kill_writers, stop_reader


def test_sixty_killed_readers_leak_no_slot_see_no_frame_twice_and_no_pixel_overwritten(tmp_path: Path) -> None:
    happened = kill_readers(tmp_path, 60, seed=1)
    assert happened["inspected"] >= 12, happened
    assert happened["observed"] >= 12, happened


def test_twenty_killed_writers_leave_everything_they_sent_and_every_lease_readable(tmp_path: Path) -> None:
    happened = kill_writers(tmp_path, 20, seed=2)
    assert happened["frames"] > 20, happened
    assert happened["deaths_with_leases"] >= 4, happened


def test_a_stopped_reader_is_counted_full_then_hung_up_on_and_comes_back(tmp_path: Path) -> None:
    assert stop_reader(tmp_path, seed=3)["generations"] > 1
