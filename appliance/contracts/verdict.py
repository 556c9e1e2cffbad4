"""The verdict as line controllers get it."""

from appliance.contracts.document import (
    BoxPx,
    ClockWord,
    Count,
    Document,
    Name,
    ReasonWord,
    RegionPx,
    SchemaVersion,
    Sha256,
    Timestamp,
    Verdict,
)


class ViewReference(Document):
    """One view of the part: which exposure of which camera, and where in it."""

    camera: Name
    """Camera name from the configuration."""
    view: Name
    """Name of the view in the recipe; `whole` where the recipe names none."""
    trigger_id: Count
    """Dense and monotone per camera within a ledger epoch."""
    stream_epoch: Count
    """Acquisition of the camera: a restart of the stream opens a new one, and `frame_id` starts over."""
    frame_id: Count | None
    """As the camera counts; null when no frame came."""
    region_px: RegionPx | None
    """x1, y1, x2, y2 in pixels of the delivered frame, x2/y2 exclusive; null when no frame came."""
    encoder_count: Count | None
    """Encoder or line edge counter latched with the frame; null where the camera has none."""


class VerdictDefect(Document):
    """A detection that a recipe's class rule counts."""

    class_name: str
    """As the model names it."""
    score: float
    """0..1."""
    box_px: BoxPx
    """x1, y1, x2, y2 in pixels of the delivered frame, origin top-left, x2/y2 exclusive."""


class ModelReference(Document):
    """The model whose findings these are."""

    name: Name
    """Bundle name."""
    sha256: Sha256
    """Hash of the model file."""


class RecipeReference(Document):
    """The recipe that was active at the part's first trigger."""

    name: Name
    """Recipe name."""
    version: Count
    """Recipe version."""
    sha256: Sha256
    """Hash of the recipe file."""


class Clock(Document):
    """How far the time of exposure can be trusted."""

    source: ClockWord
    """Where the mapping from the camera's clock to the host's comes from."""
    synced: bool
    """False when there is no mapping: the time is the frame's receipt minus the configured transfer time."""
    uncertainty_us: Count
    """Microseconds."""


class VerdictMessage(Document):
    """One verdict, sent at most once and before its deadline. A message that doesn't come means reject.

    A receiver discards a message that it reads after `deadline_at`.
    """

    schema_version: SchemaVersion
    """Grows when a name changes its meaning or goes; new names may come at any time and are to be ignored."""
    line: Name
    """Line name from the configuration."""
    station: Name
    """Station name from the configuration."""
    ledger_epoch: str
    """Ids below are unique within it; it changes when the ledger's files are made anew."""
    verdict_seq: Count
    """Monotone: one per verdict."""
    inspection_id: Count
    """Monotone: one per part. The part's identity where nobody announces parts."""
    part_id: str | None
    """As announced by `part.set`; null without an announcement."""
    lot: str | None
    """As announced."""
    job_id: str | None
    """As announced."""
    lane: str | None
    """As announced."""
    views: list[ViewReference]
    """At least one."""
    verdict: Verdict
    """The part's: any NG view is NG; else any missing or UNKNOWN view is UNKNOWN; else OK."""
    reason: ReasonWord | None
    """Set when the verdict is UNKNOWN."""
    defects: list[VerdictDefect]
    """What made the part NG, highest score first in each view."""
    model: ModelReference | None
    """Null when no inspector was there."""
    recipe: RecipeReference | None
    """Null when it isn't known any more: recovered after a crash."""
    captured_at: Timestamp
    """Start of exposure of the first view, RFC 3339 UTC with microseconds."""
    device_timestamp_ns: Count | None
    """Start of exposure on the camera's clock. May exceed 2^53: read it as a big integer."""
    clock: Clock
    """How `captured_at` was found."""
    published_at: Timestamp
    """When it was decided, RFC 3339 UTC with microseconds."""
    deadline_at: Timestamp
    """After it a receiver must discard the message, RFC 3339 UTC with microseconds."""
    stage_ms: dict[str, float]
    """Milliseconds per stage, in order of time; `total` from exposure to decision."""
    is_simulated: bool
    """From a simulated camera or replayed files: never on a production topic."""
