import pytest

from appliance.delivery.line_state import LineState
from appliance.messages import VerdictWord
from appliance.messages.line import LineError

OK, NG, UNKNOWN = VerdictWord.OK, VerdictWord.NG, VerdictWord.UNKNOWN


def ready_line() -> LineState:
    line = LineState()
    line.hindrances.is_inspector_missing = False
    return line


def give(
    line: LineState, seq: int, verdict: VerdictWord = OK, *, stop_after_rejects: int = 0, is_sent: bool = True
) -> bool:
    return line.result_given(seq, verdict, stop_after_rejects=stop_after_rejects, is_sent=is_sent)


def test_nothing_is_ready_by_default() -> None:
    status = LineState().status()
    assert not status.ready
    assert status.error_id is LineError.INSPECTOR_MISSING


def test_a_trigger_its_verdict_and_its_acknowledgement_follow_each_other() -> None:
    line = ready_line()
    assert line.status().ready
    line.trigger_seen()
    assert line.status().trigger_acknowledged
    give(line, 7)
    line.nothing_open()
    status = line.status()
    assert (status.trigger_acknowledged, status.result_valid, status.result_acknowledged) == (False, True, False)
    assert line.acknowledge(7) is True
    status = line.status()
    assert (status.result_valid, status.result_acknowledged, status.overrun) == (False, True, False)
    assert line.acknowledge(7) is False


def test_without_acknowledgements_the_next_trigger_ends_a_result_and_nothing_overruns() -> None:
    line = ready_line()
    for seq in range(1, 5):
        line.trigger_seen()
        assert not line.status().result_valid
        give(line, seq)
        assert line.status().result_valid
    assert not line.status().overrun


def test_a_result_before_the_last_acknowledgement_is_an_overrun_until_the_newest_is_acknowledged() -> None:
    line = ready_line()
    give(line, 1)
    line.acknowledge(1)
    give(line, 2)
    assert not line.status().overrun
    give(line, 3)
    status = line.status()
    assert status.overrun
    assert status.error_id is LineError.OVERRUN
    assert status.ready, "an overrun is the controller's business: parts can be inspected"
    line.acknowledge(2)
    assert line.status().overrun
    line.acknowledge(None)
    assert not line.status().overrun
    assert line.overruns == 1


@pytest.mark.parametrize("seq", [0, 9])
def test_a_verdict_that_was_never_given_can_not_be_acknowledged(seq: int) -> None:
    line = ready_line()
    assert line.acknowledge(None) is None
    give(line, 8)
    assert line.acknowledge(seq) is None


def test_rejects_in_a_row_ask_the_line_to_stop_until_it_is_released() -> None:
    line = ready_line()
    words = [NG, OK, NG, UNKNOWN]
    assert [give(line, seq, word, stop_after_rejects=3) for seq, word in enumerate(words, 1)] == [False] * 4
    assert give(line, 5, NG, stop_after_rejects=3, is_sent=False), "silence rejects the part too"
    assert line.stop_requested
    assert not line.status().ready
    assert line.status().error_id is LineError.STOP_REQUESTED
    assert not give(line, 6, NG, stop_after_rejects=3), "asked once"
    give(line, 7, OK, stop_after_rejects=3)
    assert line.stop_requested, "only a release takes it back"
    assert line.release()
    assert line.status().ready
    assert not line.release()


def test_of_several_troubles_the_gravest_is_the_number_and_all_are_told() -> None:
    line = LineState()
    line.hindrances.count_mismatch = "they differ"
    line.hindrances.missing_cameras = ["cam1", "cam2"]
    line.hindrances.is_stopping = True
    status = line.status()
    assert status.error_id is LineError.COUNT_MISMATCH
    assert len(status.not_ready_because) == 5


def test_a_recipe_that_is_not_loaded_ends_readiness() -> None:
    line = ready_line()
    line.hindrances.unloaded_recipe = "b"
    assert line.status().error_id is LineError.RECIPE_NOT_LOADED
