"""INT8: a float detector becomes a faster one, as long as it finds the same."""

from appliance.modelling.quantise.calibration_set import CalibrationSet, Manifest, read_calibration_set, write_manifest
from appliance.modelling.quantise.diverse import choose_calibration
from appliance.modelling.quantise.figures import Budget, Figures, Measure
from appliance.modelling.quantise.quantiser import Order, Outcome, quantise
from appliance.modelling.quantise.ranges import METHODS
from appliance.modelling.quantise.timing import Speed
from appliance.modelling.quantise.writer import write_quantised

__all__ = [
    "METHODS",
    "Budget",
    "CalibrationSet",
    "Figures",
    "Manifest",
    "Measure",
    "Order",
    "Outcome",
    "Speed",
    "choose_calibration",
    "quantise",
    "read_calibration_set",
    "write_manifest",
    "write_quantised",
]
