"""The configuration: one TOML file and its recipes, as frozen models; unknown keys are refused."""

from appliance.config.appliance import ApplianceConfig, load
from appliance.config.camera import (
    CameraConfig,
    FeatureValue,
    FolderSource,
    GenicamSource,
    RingConfig,
    SimulatorConfig,
)
from appliance.config.class_rule import ClassRule, Zone
from appliance.config.confined import ConfinedModel, Name
from appliance.config.models import ModelsConfig
from appliance.config.processes import (
    DeliveryConfig,
    DriftConfig,
    HealthConfig,
    InspectorConfig,
    ModbusConfig,
    RecorderConfig,
)
from appliance.config.recipe import (
    EvidenceLimits,
    Recipe,
    ViewRule,
    load_recipe,
    recipe_reference,
)
from appliance.config.surroundings import Surroundings, default_directory, surroundings
from appliance.config.tiling import Tiling
from appliance.config.toml import explain, parse_toml, read_toml

__all__ = [
    "ApplianceConfig",
    "CameraConfig",
    "ClassRule",
    "ConfinedModel",
    "DeliveryConfig",
    "DriftConfig",
    "EvidenceLimits",
    "FeatureValue",
    "FolderSource",
    "GenicamSource",
    "HealthConfig",
    "InspectorConfig",
    "ModbusConfig",
    "ModelsConfig",
    "Name",
    "Recipe",
    "RecorderConfig",
    "RingConfig",
    "SimulatorConfig",
    "Surroundings",
    "Tiling",
    "ViewRule",
    "Zone",
    "default_directory",
    "explain",
    "load",
    "load_recipe",
    "parse_toml",
    "read_toml",
    "recipe_reference",
    "surroundings",
]
