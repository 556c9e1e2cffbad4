"""Edge inspection appliance: camera to verdict, every trigger answered exactly once."""

__version__ = "0.1.0"
