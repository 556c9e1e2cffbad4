"""Anomaly models without training: a detector's own features, and a memory of what good parts look like.

The idea is PatchCore's (Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022): every place of
a picture is as unusual as it is far from the nearest place of any good picture. Features come from the first layers of
a detector that is there already, so nothing is learned but the memory, in seconds, from good parts alone.
"""
