"""A training child without PyTorch: keeps the contract of `appliance.learning.training`, and breaks it on demand.

FAKE_TRAINER names what goes wrong; nothing: it "learns" one number an epoch and leaves a small real detector.
"""

import json
import os
import sys
import time
from pathlib import Path

from appliance.testing.convolving_detector import convolving_network

FLAWS = os.environ.get("FAKE_TRAINER", "").split(",")


def main() -> None:
    plan = json.loads(Path(sys.argv[sys.argv.index("--plan") + 1]).read_text())
    work = Path(plan["work"])
    if "broken" in FLAWS:
        print("Traceback (most recent call last):", file=sys.stderr)
        sys.exit("error: no such operator: frobnicate")
    if "nonsense" in FLAWS:
        print("INFO downloading the internet\n{not json}\n[1, 2]\n" + '{"event": 7}\n{"event": "epoch", "epoch": "x"}')
    checkpoint = work / "checkpoint.pt"
    learned = json.loads(checkpoint.read_text())["learned"] if checkpoint.exists() else 0
    if learned:
        print(json.dumps({"event": "note", "text": f"going on after epoch {learned}"}), flush=True)
    counts = {"train": 1, "val": 1, "parameters": 123}
    print(json.dumps({"event": "start", **counts, "after_epoch": learned}), flush=True)
    epochs = plan["cut_epochs"] + plan["frame_epochs"]
    print(json.dumps({"event": "step", "epochs": learned + 0.5, "loss": 3.0, "minutes_left": 2.0}), flush=True)
    for epoch in range(learned + 1, epochs + 1):
        if "slow" in FLAWS and epoch == 3:
            (work / "waiting").write_text(str(os.getpid()))
            time.sleep(60)
        save(checkpoint, {"learned": epoch})
        row = {"epoch": epoch, "minutes": 0.1 * epoch, "loss": 3.0 / epoch, "val_map50": None, "learning_rate": 0.01}
        row["val_map50"] = 0.1 * epoch if epoch % 2 == 0 else None
        with (work / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(row) + "\n")
        print(json.dumps({"event": "epoch", **row, "epochs": epochs, "minutes_left": 0.1}), flush=True)
    finish(work, plan, epochs)


def finish(work: Path, plan: dict, epochs: int) -> None:
    if "silent" in FLAWS:
        return
    network = convolving_network(0.0, 10000.0 if "unquantisable" in FLAWS else 0.0, stride_px=8).SerializeToString()
    (work / "trained.onnx").write_bytes(network[:1000] if "torn" in FLAWS else network)
    outcome = {"plan": plan, "family": "yolov8", "parameters": 123, "minutes": 0.1 * epochs, "epochs": epochs}
    outcome |= {"best_epoch": epochs, "machine": "a desk"}
    save(work / "outcome.json", {"minutes": "many"} if "boastful" in FLAWS else outcome)


def save(path: Path, content: dict) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)


main()
