"""Reports as one HTML page each: no script, nothing fetched from anywhere, readable in light and dark."""

from appliance.learning.evaluation.report.comparison import comparison_page
from appliance.learning.evaluation.report.evaluation import evaluation_page

__all__ = ["comparison_page", "evaluation_page"]
