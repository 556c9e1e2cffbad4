import json
from typing import Any

from appliance.box.run_state import RunState
from appliance.box.truth import CameraTruth
from appliance.cli.verdict_text import verdict_line


def message(verdict: str, reason: str | None = None, defects: int = 0, pulse: int = 0) -> bytes:
    content: dict[str, Any] = {
        "verdict_seq": 12,
        "views": [{"camera": "cam0", "encoder_count": pulse, "frame_id": 1}],
        "verdict": verdict,
        "reason": reason,
        "defects": [{"class_name": "short", "score": 0.912, "box_px": [0, 0, 1, 1]}] * defects,
        "stage_ms": {"total": 23.44},
    }
    return json.dumps(content).encode()


def test_line_names_defects_beside_the_truth() -> None:
    state = RunState({"cam0": CameraTruth(("NG", "OK"), is_line_triggered=True)})
    line = verdict_line(state.take(message("NG", defects=5)))
    assert " ".join(line.split()) == "12 cam0 NG 23.4 ms truth NG ok short 0.91, short 0.91, short 0.91, and 2 more"


def test_line_shouts_an_escape_and_a_false_reject() -> None:
    state = RunState({"cam0": CameraTruth(("NG", "OK"), is_line_triggered=True)})
    assert "ESCAPE" in verdict_line(state.take(message("OK")))
    assert "FALSE REJECT" in verdict_line(state.take(message("NG", pulse=1)))


def test_line_without_truth_has_none() -> None:
    state = RunState({})
    line = verdict_line(state.take(message("UNKNOWN", reason="late")))
    assert " ".join(line.split()) == "12 cam0 UNKNOWN 23.4 ms late"
    assert state.scoreboard.ng_parts == 0
