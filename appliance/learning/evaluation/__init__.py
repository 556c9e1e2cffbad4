"""How good a model is on parts with known truth: precision, escapes, false rejects, each with its uncertainty.

A part's verdict is the recipe's, by the very judge of the running line, or the bundle's score where no recipe is given.
"""

from appliance.learning.evaluation.class_figures import ClassFigures
from appliance.learning.evaluation.detecting import detect_all
from appliance.learning.evaluation.evaluation import Evaluation, assess, evaluate
from appliance.learning.evaluation.intervals import Rate
from appliance.learning.evaluation.operating_point import AtScore, ByRecipe, OperatingPoint

__all__ = [
    "AtScore",
    "ByRecipe",
    "ClassFigures",
    "Evaluation",
    "OperatingPoint",
    "Rate",
    "assess",
    "detect_all",
    "evaluate",
]
