"""`appliance watch`: follow the verdict lane as a line controller does."""

import json
import signal
import sys
from types import FrameType

from appliance.box.run_state import RunState
from appliance.box.truth import load_truth
from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.cli.verdict_text import verdict_line
from appliance.config import load
from appliance.wire.sockets import box_keys_for
from appliance.wire.verdict_lane import VerdictSubscriber

_POLL_S = 0.2


def watch(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every verdict until Ctrl-C; say when the publisher falls silent (a controller rejects then)."""
    settings = load(find_config(config))
    state = RunState(load_truth(settings))
    stop_asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (signal's own signature)
        stop_asked.append(number)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    endpoint = settings.delivery.verdict_endpoint
    with VerdictSubscriber(endpoint, keys=box_keys_for(endpoint, settings.effective_keys_dir)) as lane:
        voice = _Voice(endpoint)
        while not stop_asked:
            received = lane.receive(_POLL_S)
            voice.tell(is_connected=lane.is_connected)
            if received is not None:
                verdict = state.take(received[1])
                print(json.dumps(verdict.message) if as_json else verdict_line(verdict), flush=True)


class _Voice:
    """Says, once each time, that the lane fell silent or speaks again."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._was_connected: bool | None = None

    def tell(self, *, is_connected: bool) -> None:
        """Compare with the last time."""
        if is_connected is self._was_connected:
            return
        if is_connected:
            text = f"{self._endpoint}: the publisher answers"
        elif self._was_connected is None:
            text = f"{self._endpoint}: waiting for a publisher"
        else:
            text = f"{self._endpoint}: no heartbeat, the publisher is silent: a controller rejects every part now"
        self._was_connected = is_connected
        print(text, file=sys.stderr, flush=True)
