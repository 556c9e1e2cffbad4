"""Benchmarks: what this machine does, measured in one run, in turn with what it is compared to."""
