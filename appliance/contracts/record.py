"""Records: what the journal keeps, the result lane sends and replay gives. Seven kinds."""

from typing import Annotated, Literal

from pydantic import Field

from appliance.contracts.document import (
    BoxPx,
    Count,
    Document,
    Name,
    ReasonWord,
    SchemaVersion,
    Sha256,
    Timestamp,
    Verdict,
)
from appliance.contracts.verdict import ModelReference, RecipeReference, VerdictMessage


class Measurement(Document):
    """A measured quantity of a defect or a part."""

    name: str
    """What was measured."""
    value: float
    """How much, in `unit`."""
    unit: str
    """Unit of value, limits and uncertainty."""
    limits: tuple[float | None, float | None]
    """Lowest and highest value that is good; null where there is no limit."""
    uncertainty: float | None
    """Expanded uncertainty (k = 2)."""


class RecordDefect(Document):
    """A detection, with all that is known about it."""

    camera: Name
    """Camera whose frame shows it."""
    view: Name
    """View that shows it."""
    class_name: str
    """As the model names it."""
    defect_code: str | None
    """The recipe's code for the class, as the MES knows it."""
    score: float
    """0..1."""
    box_px: BoxPx
    """x1, y1, x2, y2 in pixels of the delivered frame, origin top-left, x2/y2 exclusive."""
    geometry: None
    """Reserved for outlines."""
    rule_id: str
    """The recipe's rule that counts, or doesn't count, it."""
    measurements: list[Measurement]
    """Sizes in real units, where the recipe knows the size of a pixel; else empty."""


class Evidence(Document):
    """What was measured in a frame before any model saw it."""

    mean_grey: float
    """0..255; of RGB8 the luma, of BayerRG8 the mean over all colours."""
    saturated_fraction: float
    """0..1 of the samples that are white."""
    sharpness: float
    """Mean absolute grey difference of horizontal neighbours."""


class ViewFinding(Document):
    """What was found in one view, whatever went on the wire."""

    camera: Name
    """Camera of the view."""
    view: Name
    """Name of the view."""
    verdict: Verdict | None
    """What the inspector said; null when it said nothing in time."""
    reason: ReasonWord | None
    """Why the view is UNKNOWN."""
    detail: str | None
    """Which check failed and by how much, for people."""
    evidence: Evidence | None = None
    """Of the whole frame; null when nothing was measured, missing in records of before it was kept."""


class StoredImage(Document):
    """A lossless image file of one view's frame."""

    camera: Name
    """Camera of the frame."""
    view: Name
    """View of the part."""
    path: str
    """Relative to the appliance's image directory."""
    format: Literal["png", "pgm", "ppm"]
    """File format, lossless in each case."""
    width: Count
    """Columns, px."""
    height: Count
    """Rows, px."""
    pixel_format: str
    """PFNC name, e.g. Mono8."""
    bytes: Count
    """Size of the file."""
    sha256: Sha256
    """Hash of the file."""
    thumbnail: str | None
    """Annotated JPEG, relative to the image directory."""


class MissingImage(Document):
    """An image that should be there and isn't."""

    camera: Name
    """Camera of the frame."""
    view: Name
    """View of the part."""
    why: str
    """What prevented it, in one word: no_frame, not_leased, recorder_down, queue_full, disk_full, …"""


class Image(Document):
    """Images of an inspection."""

    views: list[StoredImage]
    """Files, safe on disk before the record is published."""
    missing: list[MissingImage]
    """Wanted, but not there."""


class Journalled(Document):
    """What every record carries, whatever its kind."""

    epoch: str
    """Epoch of the journal: changes only when the journal is made anew. Not the ledger's."""
    seq: Count
    """Place in the journal, dense from 1 within the epoch."""


class InspectionRecord(VerdictMessage, Journalled):
    """One inspection with its verdict: all the verdict message says, and what is only for the record."""

    kind: Literal["inspection"]
    """What the record stands for."""
    finding: list[ViewFinding]
    """What was found, one for each of `views`."""
    sent_verdict: Verdict | None
    """What went on the wire; null when nothing was sent. Of a recovered record: what may have been sent."""
    defects: list[RecordDefect]  # type: ignore[assignment]
    """What made the part NG, highest score first in each view."""
    near_misses: list[RecordDefect]
    """Detections that no rule counts."""
    calibration: None
    """Reserved for the calibration in force."""
    image: Image | None
    """Null where none was wanted."""
    is_partial: bool
    """Whether a view has no finding."""
    is_recovered: bool
    """Written from the ledger after the publisher was killed before it could tell more."""
    attempt: Count
    """1; higher for a repeated inspection of the same part."""


class LateFindingRecord(Journalled):
    """What the inspector said of an inspection that was decided already: kept, never sent as a verdict."""

    schema_version: SchemaVersion
    """As in `inspection`."""
    kind: Literal["late_finding"]
    """What the record stands for."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    ledger_epoch: str
    """Ids below are unique within it."""
    camera: Name
    """Camera of the trigger."""
    view: Name
    """View that was judged."""
    trigger_id: Count
    """Find the inspection by it, in `views`."""
    verdict: Verdict
    """What the inspector said."""
    reason: ReasonWord | None
    """Set when `verdict` is UNKNOWN."""
    detail: str | None
    """Which check failed and by how much, for people."""
    defects: list[RecordDefect]
    """Detections inside the recipe's rules."""
    near_misses: list[RecordDefect]
    """Detections that no rule counts."""
    stage_ms: dict[str, float]
    """Milliseconds per stage, in order of time."""
    sent_verdict: None
    """Never sent."""
    recorded_at: Timestamp
    """RFC 3339 UTC with microseconds."""
    is_simulated: bool
    """From a simulated camera or replayed files."""


class ShadowFindingRecord(Journalled):
    """What a model that only watches said of a part: never sent as a verdict, never part of one."""

    schema_version: SchemaVersion
    """As in `inspection`."""
    kind: Literal["shadow_finding"]
    """What the record stands for."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    ledger_epoch: str
    """Ids below are unique within it."""
    camera: Name
    """Camera of the trigger."""
    view: Name
    """View that was judged."""
    trigger_id: Count
    """Find the inspection by it, in `views`."""
    model: ModelReference
    """The model that watches."""
    recipe: RecipeReference
    """The rules it was judged by: those in use at that time."""
    verdict: Verdict
    """What the verdict would be by this model."""
    reason: ReasonWord | None
    """Set when `verdict` is UNKNOWN."""
    detail: str | None
    """Which check failed and by how much, for people."""
    defects: list[RecordDefect]
    """Detections inside the recipe's rules."""
    near_misses: list[RecordDefect]
    """Detections that no rule counts."""
    stage_ms: dict[str, float]
    """Milliseconds per stage, in order of time."""
    sent_verdict: None
    """Never sent."""
    recorded_at: Timestamp
    """RFC 3339 UTC with microseconds."""
    is_simulated: bool
    """From a simulated camera or replayed files."""


class ModelEventRecord(Journalled):
    """Another model judges a recipe's parts from a moment on, or the one in use has failed."""

    schema_version: SchemaVersion
    """As in `inspection`."""
    kind: Literal["model_event"]
    """What the record stands for."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    ledger_epoch: str
    """`event_id` is unique within it, for one recipe and event."""
    event: Literal["activated", "rolled_back", "fell_back", "failed"]
    """`fell_back`: the appliance went back by itself, because the model failed and the recipe allows it. `failed`: so
    many model errors in a row; without a fallback every part is UNKNOWN until somebody acts."""
    event_id: Count
    """Identity of the event."""
    recipe: RecipeReference
    """Whose parts it concerns."""
    old_model: ModelReference | None
    """The model before; null where it was never loaded."""
    model: ModelReference | None
    """The model from then on; null when one has failed and none follows."""
    by: str
    """Who did it; `appliance` for what it does by itself."""
    detail: str
    """For people; may be empty."""
    effective_at: Timestamp
    """Parts whose first trigger was exposed from then on are concerned."""
    sent_verdict: None
    """No verdict."""
    recorded_at: Timestamp
    """RFC 3339 UTC with microseconds."""
    is_simulated: bool
    """All cameras are simulated, or replay files."""


class DriftPicture(Document):
    """A picture that shows what an alarm is about."""

    seq: Count
    """The inspection's record."""
    captured_at: Timestamp
    """When the part was exposed."""
    verdict: Verdict
    """The view's."""
    value: float
    """The signal's value in it; of a rate 1 where the part counts, else 0."""
    path: str | None
    """Relative to the appliance's image directory; null: not stored, as most OK parts' pictures aren't."""


class DriftEventRecord(Journalled):
    """A camera's pictures or verdicts have begun, or ceased, to differ from what they should be like."""

    schema_version: SchemaVersion
    """As in `inspection`."""
    kind: Literal["drift_event"]
    """What the record stands for."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    ledger_epoch: str
    """`event_id` is unique within it."""
    event: Literal["raised", "cleared"]
    """What happened to the alarm."""
    event_id: Count
    """Identity of the event."""
    camera: Name
    """Camera that is concerned."""
    view: Name
    """View that is concerned."""
    recipe: RecipeReference
    """Recipe that was in use."""
    model: ModelReference | None
    """Model that judged; null where none did."""
    signal: str
    """brightness, saturation, sharpness, score, ng_rate, unknown_rate, or class_rate:CLASS."""
    reference: Literal["training", "last_week"]
    """What the present is compared with."""
    measure: Literal["distance", "outside_share", "difference"]
    """How: Kolmogorov-Smirnov distance; share of views beyond what the training pictures were like; of a rate the
    difference."""
    value: float
    """By how much it differs now."""
    limit: float
    """From where on an alarm is raised; sampling noise and last week's own variation included."""
    current: float | None
    """Median of the signal, or the rate, now."""
    expected: float | None
    """The same, of the reference."""
    samples: Count
    """Views that `current` rests on."""
    detail: str
    """All of it in a sentence for people."""
    deviating: list[DriftPicture]
    """Recent pictures that deviate most."""
    typical: list[DriftPicture]
    """Pictures as the reference has them."""
    sent_verdict: None
    """No verdict."""
    recorded_at: Timestamp
    """RFC 3339 UTC with microseconds."""
    is_simulated: bool
    """All cameras are simulated, or replay files."""


class RangeRecord(Journalled):
    """A range of one camera's trigger ids without records of their own; not every id of it needs to have been used."""

    schema_version: SchemaVersion
    """As in `inspection`."""
    kind: Literal["unrecorded", "lost_range"]
    """`unrecorded`: nothing is left of them (power loss), nothing was sent. `lost_range`: the disk was full for too
    long, so that records were never written, or were removed before all consumers had them; verdicts may have been
    sent."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    ledger_epoch: str
    """Ids below are unique within it."""
    camera: Name
    """Camera of the triggers."""
    first_trigger_id: Count
    """First id of the range."""
    last_trigger_id: Count
    """Last id of the range."""
    verdict: Literal["UNKNOWN"]
    """Nothing is known of these parts."""
    reason: Literal["unrecorded"]
    """Why."""
    detail: str
    """What happened, for people."""
    sent_verdict: None
    """Unknown, or nothing."""
    recorded_at: Timestamp
    """RFC 3339 UTC with microseconds."""
    is_simulated: bool
    """From a simulated camera or replayed files."""


Record = Annotated[
    InspectionRecord | LateFindingRecord | ShadowFindingRecord | ModelEventRecord | DriftEventRecord | RangeRecord,
    Field(discriminator="kind"),
]
"""Any record; `kind` tells which."""
