"""Model bundles, decode families and the way between frame pixels and model input."""

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
