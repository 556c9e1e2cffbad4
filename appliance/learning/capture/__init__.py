"""Pictures of the running line for labelling: which ones, each once, with all that is known of where it comes from."""

from appliance.learning.capture.folder import CapturedFolder
from appliance.learning.capture.request import CaptureRequest, StopReason
from appliance.learning.capture.session import Capture

__all__ = ["Capture", "CaptureRequest", "CapturedFolder", "StopReason"]
