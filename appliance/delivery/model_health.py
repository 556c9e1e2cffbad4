"""Whether the model in use works: by its findings, counted in a row. Pure."""

from dataclasses import dataclass

from appliance.messages import Finding, ModelRef, Reason


@dataclass(frozen=True)
class FailedModel:
    """A model in use that fails on every frame."""

    recipe: str
    model: ModelRef
    detail: str


class ModelHealth:
    """Model errors in a row, over all cameras.

    Attributes:
        failed: The model in use, once it has failed; until it works again, or another is in use.
    """

    def __init__(self) -> None:
        self.failed: FailedModel | None = None
        self._errors_in_a_row = 0
        self._last: tuple[str, int] | None = None

    def heard(self, finding: Finding, errors_to_fail: int) -> bool:
        """Count a finding of the model in use; tells whether it is the one by which the model has failed.

        A frame's views count once. A frame that was doubted before the model saw it says nothing of the model.
        """
        if finding.reason is Reason.NONE:
            self._errors_in_a_row, self.failed = 0, None
        elif finding.reason is Reason.MODEL_ERROR and (finding.camera, finding.trigger_id) != self._last:
            self._last = finding.camera, finding.trigger_id
            self._errors_in_a_row += 1
        return self.failed is None and self._errors_in_a_row >= errors_to_fail

    def has_failed(self, recipe: str, model: ModelRef, detail: str) -> None:
        """The model in use counts as failed."""
        self.failed = FailedModel(recipe, model, detail)

    def changed(self, recipe: str) -> None:
        """A recipe has another model now: it has done nothing wrong yet."""
        if self.failed is None or self.failed.recipe == recipe:
            self._errors_in_a_row, self.failed = 0, None
