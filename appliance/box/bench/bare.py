"""The model alone, as a process: `python -m appliance.box.bench.bare CONFIG SECONDS` prints frames per second."""

import sys
import time
from pathlib import Path

from appliance.box.bench.frames import sample_frames
from appliance.config import ApplianceConfig, load, load_recipe
from appliance.modelling.session import ModelSession
from appliance.modelling.signature import load_trusted


def bare_frames_per_s(config: ApplianceConfig, seconds: float) -> float:
    """Run the model on real frames at the configured threads, and nothing else.

    Single frames and full batches take turns; the faster of the two counts, so that the pipeline is held against the
    best that this machine gives.
    """
    bundle = load_trusted(config, load_recipe(config.recipe).model)
    options = config.inspector
    session = ModelSession(
        bundle,
        provider=options.execution_provider,
        provider_options=options.provider_options,
        threads=options.intra_op_num_threads,
        max_batch=options.max_batch,
    )
    for _ in session.warm_up():
        pass
    frames = sample_frames(config, bundle.input)
    sizes = sorted({1, options.max_batch})
    done = dict.fromkeys(sizes, 0)
    spent_s = dict.fromkeys(sizes, 0.0)
    first = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not all(done.values()):
        for size in sizes:
            first = (first + size) % (len(frames) - size + 1)
            start = time.monotonic()
            session.run(frames[first : first + size])
            spent_s[size] += time.monotonic() - start
            done[size] += size
    return max(done[size] / spent_s[size] for size in sizes)


if __name__ == "__main__":
    sys.stdout.write(f"{bare_frames_per_s(load(Path(sys.argv[1])), float(sys.argv[2]))}\n")
