"""From camera to ring: sources of frames, the triggers they stand for, and the grabber process.

In order of a frame's way: `gentl` (a producer's C interface), `datastream` (buffers), `genicam` (cameras and their
nodes), `features`, `camera` and `folder` (the sources), `source` (the protocol), `device_clock`, `trigger_ledger`,
`grabber` (the process).
"""
