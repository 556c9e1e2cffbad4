"""Model bundles, decode families and the way between frame pixels and model input."""

import os

# Since 1.29 ONNX Runtime tells its maker what it runs, by HTTPS from a thread of its own and with a database in the
# user's cache. It looks at this when it is loaded: so before any module here that loads it. (Its Privacy.md.)
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from appliance.modelling.bundle import GoldenCase, GoldenDetection, ModelBundle, ModelInput
from appliance.modelling.bundle_files import load_bundle
from appliance.modelling.detections import Detections
from appliance.modelling.families import FAMILIES, Decoder, Family, OutputShapes, decoder_for
from appliance.modelling.placement import Placement, fit

__all__ = [
    "FAMILIES",
    "Decoder",
    "Detections",
    "Family",
    "GoldenCase",
    "GoldenDetection",
    "ModelBundle",
    "ModelInput",
    "OutputShapes",
    "Placement",
    "decoder_for",
    "fit",
    "load_bundle",
]
