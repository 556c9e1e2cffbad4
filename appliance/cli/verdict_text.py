"""A verdict as one line for people."""

from typing import Any

from appliance.box.run_state import ShownVerdict

_MOST_DEFECTS = 3


def verdict_line(verdict: ShownVerdict) -> str:
    """Write sequence number, camera, verdict, why, latency, and the truth where it is known."""
    message = verdict.message
    words = [
        f"{message['verdict_seq']:>6}",
        f"{verdict.camera:<8}",
        f"{message['verdict']:<7}",
        f"{verdict.latency_ms:7.1f} ms",
    ]
    if verdict.truth is not None:
        words.append(f"truth {verdict.truth:<2} {mark_text(verdict):<12}")
    words.append(why(message))
    return "  ".join(words).rstrip()


def mark_text(verdict: ShownVerdict) -> str:
    """Say how a verdict compares with the truth; a rejected NG part is as it should be, whatever the word."""
    return {"OK": "ok", "UNKNOWN": "unknown"}.get(verdict.mark or "", verdict.mark or "")


def why(message: dict[str, Any]) -> str:
    """Name the reason of an UNKNOWN, or the defects of an NG with their scores."""
    if message["reason"]:
        return str(message["reason"])
    defects = message["defects"]
    named = [f"{defect['class_name']} {defect['score']:.2f}" for defect in defects[:_MOST_DEFECTS]]
    if len(defects) > _MOST_DEFECTS:
        named.append(f"and {len(defects) - _MOST_DEFECTS} more")
    return ", ".join(named)
