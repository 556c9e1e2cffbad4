"""The child: `python -m appliance.learning.libreyolo_training --plan plan.json`.

Same plan, same events, same files as the appliance's own trainer writes. libreyolo trains from scratch: nothing is
fetched from anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from appliance.learning.libreyolo_training.curve import Curve
from appliance.learning.machine import machine_in_words

FAMILIES = {"yolox": ("LibreYOLOX", {"nano": "n", "tiny": "t"}), "yolov9": ("LibreYOLO9", {})}
"""First part of a network's name to libreyolo's class, and its letters for sizes where they aren't the name's own."""
IMAGE_SET = "yolo/data.yaml"
RUN = "libreyolo"
OPSET = 17


def main() -> int:
    """Train by a plan; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m appliance.learning.libreyolo_training", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json, as `appliance train` writes it")
    plan = json.loads(parser.parse_args().plan.read_text(encoding="utf-8"))
    os.environ |= {"HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "1", "WANDB_MODE": "disabled"}
    work = Path(plan["work"])
    with contextlib.chdir(work), _only_events_on_stdout() as say:
        _train(plan, work, say)
    return 0


@contextlib.contextmanager
def _only_events_on_stdout() -> Any:
    """Lead what the library prints to stderr, which is the log; yields what writes an event."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    with events:
        yield say


def _train(plan: dict[str, Any], work: Path, say: Any) -> None:
    import libreyolo  # noqa: PLC0415 (seconds, and torch with it)
    import torch  # noqa: PLC0415

    torch.set_num_threads(plan["threads"])
    class_name, size = _class_and_size(plan["network"])
    device = _device(plan["device"], torch)
    model = getattr(libreyolo, class_name)(
        model_path=None, size=size, nb_classes=len(plan["class_names"]), device=device
    )
    curve = Curve(work, plan, say)
    parameters = sum(value.numel() for value in model.model.parameters())
    say({"event": "start", **_counts(work), "parameters": parameters, "after_epoch": curve.epochs_done})
    if curve.epochs_done < plan["cut_epochs"] + plan["frame_epochs"]:
        model.train(**_options(plan, work, device, curve))
    best = curve.kept("best.pt") or curve.kept("last.pt")
    if best is None:
        raise SystemExit("libreyolo left no checkpoint")
    _export(libreyolo, class_name, best, plan, work)
    outcome = {
        "plan": plan,
        "family": None,
        "parameters": parameters,
        "minutes": round(curve.minutes, 1),
        "epochs": curve.epochs_done,
        "best_epoch": curve.best_epoch,
        "machine": machine_in_words(plan["threads"], device),
    }
    partial = work / "outcome.partial"
    partial.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    partial.replace(work / "outcome.json")


def _class_and_size(network: str) -> tuple[str, str]:
    family, _, size = network.partition("-")
    if family not in FAMILIES:
        raise SystemExit(f"network {network}: libreyolo trains {', '.join(FAMILIES)} here")
    class_name, letters = FAMILIES[family]
    return class_name, letters.get(size, size)


def _options(plan: dict[str, Any], work: Path, device: str, curve: Curve) -> dict[str, Any]:
    epochs = plan["cut_epochs"] + plan["frame_epochs"]
    how = plan["variation"]
    options = {
        "data": str(work / IMAGE_SET),
        "epochs": epochs,
        "batch": plan["frames_in_batch"],
        "imgsz": (plan["height_px"], plan["width_px"]),
        "device": device,
        "min_samples": plan["frames_in_epoch"],
        "workers": 0,  # a loader process would outlive this one when it is killed
        "seed": plan["seed"],
        "project": str(work),
        "name": RUN,
        "exist_ok": True,
        "amp": device != "cpu",
        "patience": plan["patience_checks"] * plan["check_every_epochs"],
        "eval_interval": min(plan["check_every_epochs"], epochs),
        "warmup_epochs": min(5, max(1, epochs // 10)),
        "no_aug_epochs": min(15, epochs // 4),
        "flip_prob": 0.5 if how["flips"] else 0.0,
        "mixup_prob": 0.0,  # two parts in one picture: no line delivers that
        "callbacks": [curve],
    }
    last = curve.restore()
    return {**options, "resume": str(last)} if last is not None else {**options, "pretrained": False}


def _export(libreyolo: Any, class_name: str, checkpoint: Path, plan: dict[str, Any], work: Path) -> None:
    model = getattr(libreyolo, class_name)(
        model_path=str(checkpoint),
        size=_class_and_size(plan["network"])[1],
        nb_classes=len(plan["class_names"]),
        device="cpu",
    )
    written = model.export(
        format="onnx",
        imgsz=(plan["height_px"], plan["width_px"]),
        opset=OPSET,
        simplify=False,
        dynamic=False,
        output_path=str(work / "exported.onnx"),
    )
    shutil.move(written, work / "trained.onnx")


def _counts(work: Path) -> dict[str, int]:
    folder = work / Path(IMAGE_SET).parent / "images"
    return {split: sum(1 for path in (folder / split).iterdir()) for split in ("train", "val")}


def _device(wanted: str, torch: Any) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


if __name__ == "__main__":
    sys.exit(main())
