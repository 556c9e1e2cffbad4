"""The training child: pictures in, a trained ONNX file out. Runs in .venv-train, the only place that has torch.

`plan`, `part`, `augment` and `supply` need no torch, so that the box side can check a data set before a child starts.
"""
