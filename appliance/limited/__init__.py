"""A function run in a child process with few rights: little memory and time, no network, nothing to write.

    run_limited()             parent: sends request and blobs in a sealed memfd, reads frames from a pipe
    appliance.limited.child   child: gives its rights up, imports the function, calls it, answers

For work on foreign bytes that may crash, hang or eat all memory: parsing and running a model that somebody brought.
Whatever the child does ends in an answer or in one ModelError.
"""

from appliance.limited.limits import Limits
from appliance.limited.run import LimitedRun, run_limited

__all__ = ["LimitedRun", "Limits", "run_limited"]
