from typing import Any

import pytest

from appliance.records.shadow_report import shadow_report

ONE = {"name": "one", "sha256": "1" * 64}
TWO = {"name": "two", "sha256": "2" * 64}
RECIPE = {"name": "a", "version": 1, "sha256": "a" * 64}


def inspection(trigger_id: int, verdict: str | None, **more: Any) -> dict[str, Any]:
    place = {"camera": "cam0", "view": "whole"}
    return {
        "kind": "inspection",
        "seq": trigger_id,
        "ledger_epoch": "e",
        "captured_at": "2026-11-23T00:00:00Z",
        "part_id": None,
        "recipe": RECIPE,
        "model": ONE,
        "views": [place | {"trigger_id": trigger_id}],
        "finding": [place | {"verdict": verdict, "reason": None}],
        "defects": [place | {"class_name": "spur", "score": 0.9}] if verdict == "NG" else [],
        "image": {"views": [place | {"path": f"{trigger_id}.png"}]} if verdict == "NG" else None,
        **more,
    }


def shadow(trigger_id: int, verdict: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "shadow_finding",
        "ledger_epoch": "e",
        "camera": "cam0",
        "view": "whole",
        "trigger_id": trigger_id,
        "recipe": RECIPE,
        "model": TWO,
        "verdict": verdict,
        "reason": None,
        "defects": [{"class_name": "burr", "score": 0.8}] if verdict == "NG" else [],
        "near_misses": [],
        **more,
    }


@pytest.mark.parametrize("order", [1, -1])
def test_views_are_joined_in_any_order_and_counted_by_both_verdicts(order: int) -> None:
    records = [inspection(1, "OK"), shadow(1, "OK"), inspection(2, "OK"), shadow(2, "NG"), inspection(3, "NG")]
    records += [shadow(3, "OK"), inspection(4, "OK")]
    report = shadow_report(records[::order]).to_json(limit=10)
    (pair,) = report["pairs"]
    assert (pair["active"], pair["shadow"]) == ("one (111111111111)", "two (222222222222)")
    assert (pair["compared"], pair["agree"], pair["agreement"]) == (3, 1, pytest.approx(1 / 3, abs=1e-6))
    assert (pair["only_shadow_rejects"], pair["only_active_rejects"], report["without_shadow"]) == (1, 1, 1)
    assert pair["table"]["OK"] == {"OK": 1, "NG": 1, "UNKNOWN": 0}
    first, second = report["disagreements"]
    assert (first["trigger_id"], first["shadow"]["defects"], first["image"]) == (
        2,
        [{"class_name": "burr", "score": 0.8}],
        None,
    )
    assert (second["trigger_id"], second["active"]["defects"][0]["class_name"], second["image"]) == (3, "spur", "3.png")


def test_different_recipes_are_not_compared_and_nothing_said_is_no_verdict() -> None:
    other = {**RECIPE, "sha256": "b" * 64}
    report = shadow_report([inspection(1, "OK"), shadow(1, "NG", recipe=other), inspection(2, None), shadow(2, "OK")])
    assert report.other_recipe == 1
    assert not report.pairs
