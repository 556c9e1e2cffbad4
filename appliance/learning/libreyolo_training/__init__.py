"""The training child for networks of libreyolo: runs in .venv-libreyolo, the only place that has that library.

It brings opencv-python, which must never be installed beside the headless one, and torchvision: so neither the box nor
.venv-train has it. Of the appliance nothing is imported here that needs more than the standard library.
"""
