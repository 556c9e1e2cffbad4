"""A training run as the box sees it: the labelled images divided, a child that learns, a bundle made of the result.

Nothing here imports PyTorch: it lives in an environment of its own, where the child runs.
"""
