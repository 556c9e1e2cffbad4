"""The line's state: a small model of the handshake that a PLC knows from its cameras. Pure; the publisher tells it
what happens, and publishes what it says.

    trigger ──▶ trigger_acknowledged ──verdict──▶ result_valid ──result.ack──▶ result_acknowledged ──next verdict──▶ …

Readiness is information: verdicts are given whether ready or not (only a count mismatch makes all of them UNKNOWN).
Source: Cognex In-Sight's inspection status bits (trigger ready, trigger ack, results valid, results ack, buffer
overrun, error code); OPC 40100-1, 8.3 (Ready only while a job would be carried out).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.messages import VerdictWord
from appliance.messages.line import LineError, LineStatus


@dataclass
class Hindrances:
    """What keeps the line from being ready.

    Attributes:
        count_mismatch: What differs; None while counts agree.
        missing_cameras: Cameras whose grabber isn't connected.
        unloaded_recipe: Recipe in use that the inspector hasn't acknowledged.
        failed_model: What is wrong with the model in use; None while nothing is.
    """

    count_mismatch: str | None = None
    is_inspector_missing: bool = True
    missing_cameras: Sequence[str] = ()
    unloaded_recipe: str | None = None
    failed_model: str | None = None
    is_stopping: bool = False


@dataclass
class LineState:
    """Handshake and stop request.

    Attributes:
        stop_requested: Set by too many rejects in a row, cleared by `release` alone.
        rejects_in_a_row: NG and UNKNOWN verdicts since the last OK or release.
        overruns: Verdicts given before the one before was acknowledged, since the start.
    """

    hindrances: Hindrances = field(default_factory=Hindrances)
    stop_requested: bool = False
    rejects_in_a_row: int = 0
    overruns: int = 0
    _is_trigger_open: bool = False
    _given_seq: int = 0
    _acknowledged_seq: int = 0
    _is_valid: bool = False
    _uses_acknowledgement: bool = False
    _is_overrun: bool = False

    def trigger_seen(self) -> None:
        """A trigger was announced."""
        self._is_trigger_open = True
        if not self._uses_acknowledgement:
            self._is_valid = False

    def result_given(self, verdict_seq: int, verdict: VerdictWord, *, stop_after_rejects: int, is_sent: bool) -> bool:
        """A verdict was decided; tells whether it is the one that asks the line to stop.

        Args:
            stop_after_rejects: So many rejects in a row ask for it; 0: never.
            is_sent: Whether it went on the wire; silence rejects the part too.
        """
        if is_sent:
            if self._uses_acknowledgement and self._given_seq > self._acknowledged_seq:
                self._is_overrun = True
                self.overruns += 1
            self._given_seq, self._is_valid = verdict_seq, True
        self.rejects_in_a_row = 0 if verdict is VerdictWord.OK else self.rejects_in_a_row + 1
        if self.stop_requested or not 0 < stop_after_rejects <= self.rejects_in_a_row:
            return False
        self.stop_requested = True
        return True

    def nothing_open(self) -> None:
        """Every announced trigger has its verdict."""
        self._is_trigger_open = False

    def acknowledge(self, verdict_seq: int | None) -> bool | None:
        """Take a controller's acknowledgement of a verdict, default the last one.

        Returns:
            True when it was news, False when it was known; None when no such verdict was given.
        """
        wanted = self._given_seq if verdict_seq is None else verdict_seq
        if not 0 < wanted <= self._given_seq:
            return None
        self._uses_acknowledgement = True
        is_news = wanted > self._acknowledged_seq
        self._acknowledged_seq = max(self._acknowledged_seq, wanted)
        if self._acknowledged_seq == self._given_seq:
            self._is_valid = self._is_overrun = False
        return is_news

    def release(self) -> bool:
        """Go on after a stop request; tells whether there was one."""
        was_requested, self.stop_requested = self.stop_requested, False
        self.rejects_in_a_row = 0
        return was_requested

    def status(self) -> LineStatus:
        """Say how the line is now."""
        because = self._because()
        return LineStatus(
            ready=not because,
            not_ready_because=tuple(told for _, told in because),
            stop_requested=self.stop_requested,
            trigger_acknowledged=self._is_trigger_open,
            result_valid=self._is_valid,
            result_acknowledged=0 < self._given_seq == self._acknowledged_seq,
            overrun=self._is_overrun,
            error_id=because[0][0] if because else LineError.OVERRUN if self._is_overrun else LineError.NONE,
        )

    def _because(self) -> list[tuple[LineError, str]]:
        found: list[tuple[LineError, str]] = []
        hindrances = self.hindrances
        if hindrances.count_mismatch is not None:
            found.append((LineError.COUNT_MISMATCH, f"trigger counts differ: {hindrances.count_mismatch}; line.resync"))
        if self.stop_requested:
            found.append((LineError.STOP_REQUESTED, "too many rejects in a row; look at the line, then line.release"))
        if hindrances.is_inspector_missing:
            found.append((LineError.INSPECTOR_MISSING, "no inspector is connected"))
        found += [(LineError.CAMERA_MISSING, f"camera {name}: no grabber") for name in hindrances.missing_cameras]
        if hindrances.unloaded_recipe is not None and not hindrances.is_inspector_missing:
            found.append(
                (LineError.RECIPE_NOT_LOADED, f"the inspector hasn't loaded recipe {hindrances.unloaded_recipe}")
            )
        if hindrances.is_stopping:
            found.append((LineError.STOPPING, "the appliance is being stopped"))
        if hindrances.failed_model is not None:
            found.append((LineError.MODEL_FAILED, hindrances.failed_model))
        return found
