"""The rule-based rival: classical vision with parameters set by hand, judged by the very evaluation that judges models."""

from appliance.learning.rules.parameter import Declared, RuleParameters, declared, flat

__all__ = ["Declared", "RuleParameters", "declared", "flat"]
