"""The training child for networks of libreyolo: runs in .venv-libreyolo, the only place that has that library.

It brings opencv-python, which must never be installed beside the headless one, and torchvision: so neither the box nor
.venv-train has it. Nothing of the appliance but this folder is imported here.
"""
