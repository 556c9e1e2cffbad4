"""Which model judges by which recipe, who decided it, and which one is only watched: files in the state directory."""

from appliance.rollout.audit import AuditEntry, append_audit, read_audit
from appliance.rollout.choices import Choices, ChoicesFile, ModelChoice, model_in_use, read_choices
from appliance.rollout.shadow import ShadowChoice, read_shadows, shadow_path, write_shadows

__all__ = [
    "AuditEntry",
    "Choices",
    "ChoicesFile",
    "ModelChoice",
    "ShadowChoice",
    "append_audit",
    "model_in_use",
    "read_audit",
    "read_choices",
    "read_shadows",
    "shadow_path",
    "write_shadows",
]
