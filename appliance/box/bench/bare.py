"""The model alone, as a process: `python -m appliance.box.bench.bare CONFIG SECONDS` prints frames per second."""

import sys
import time
from pathlib import Path

from appliance.box.bench.frames import sample_frames
from appliance.config import ApplianceConfig, load, load_recipe
from appliance.inspection.session import DetectorSession
from appliance.modelling import load_bundle


def bare_frames_per_s(config: ApplianceConfig, seconds: float) -> float:
    """Run the model on real frames at the configured batch size and threads, and nothing else."""
    bundle = load_bundle(config.models_dir / load_recipe(config.recipe).model)
    options = config.inspector
    size = options.max_batch
    session = DetectorSession(
        bundle, provider=options.execution_provider, threads=options.intra_op_num_threads, max_batch=size
    )
    for _ in session.warm_up():
        pass
    frames = sample_frames(config, bundle.input)
    batches = [frames[first : first + size] for first in range(0, len(frames) - size + 1, size)]
    done, start = 0, time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        session.run(batches[done % len(batches)])
        done += 1
    return done * size / elapsed


if __name__ == "__main__":
    sys.stdout.write(f"{bare_frames_per_s(load(Path(sys.argv[1])), float(sys.argv[2]))}\n")
