"""Datasets, training and evaluation; runs in an environment of its own, never on the box.

Modules that import torch are `network`, `assignment`, `loss`, `trainer` and `exporter`.
"""
