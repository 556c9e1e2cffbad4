"""Data sets, evaluation and training. Training runs in an environment of its own, never on the box.

Modules that import torch are `network`, `assignment`, `loss`, `trainer`, `exporter` and `release`.
"""
