"""A model that is loaded and warm, with all that belongs to it: its frames that wait, and what a run of it costs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig
from appliance.errors import ModelError
from appliance.inspection.batcher import Batcher, Waiting
from appliance.inspection.cost import BatchCost
from appliance.inspection.examiner import Examiner, Question
from appliance.inspection.gather import Tilings
from appliance.messages import FrameEvidence, ModelIdentity, ModelRef
from appliance.modelling.detector import Detector
from appliance.modelling.gate.golden import check_golden
from appliance.modelling.signature import load_trusted
from appliance.ring import FrameLease

log = logging.getLogger(__name__)

HANDOFF_MARGIN_NS = NS_PER_MS
"""From our send to the publisher's decision, on top of the publisher's own margin."""


@dataclass
class HeldFrame:
    """A leased frame with good evidence, on its way to one model or, near a change, to several.

    Attributes:
        evidence: What was measured in it; None before.
        shares: Models that still need it.
        is_counted: Whether it has been counted as inspected.
    """

    lease: FrameLease
    evidence_ms: float
    evidence: FrameEvidence | None = None
    shares: int = 1
    is_counted: bool = False

    def done(self) -> None:
        """One model needs it no more; the last one gives it back."""
        self.shares -= 1
        if self.shares == 0:
            self.lease.release()


@dataclass(frozen=True)
class Task:
    """A frame for one model; `questions` are what it will be judged for."""

    frame: HeldFrame
    questions: tuple[Question, ...]

    @property
    def lease(self) -> FrameLease:
        """The frame's."""
        return self.frame.lease

    @property
    def tilings(self) -> Tilings:
        """How the frame is to be cut, once for each way that a recipe asks for."""
        return tuple(dict.fromkeys(question.tiling for question in self.questions))


HeldBatch = list[Waiting[Task]]


@dataclass(eq=False)
class RunningModel:
    """A model at work; made by `load_model`, in any thread, then owned by the loop."""

    identity: ModelIdentity
    detector: Detector
    examiner: Examiner
    cost: BatchCost
    batcher: Batcher[Task]
    running: int = field(default=0)

    @property
    def class_names(self) -> Sequence[str]:
        """In the order of the model's class ids."""
        return self.detector.bundle.class_names

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.identity.name

    @property
    def is_idle(self) -> bool:
        """Whether no frame waits for it or is in it."""
        return self.running == 0 and len(self.batcher) == 0


def load_model(config: ApplianceConfig, ref: ModelRef, *, is_proved: bool = True) -> RunningModel:
    """Load a model and warm it up.

    Args:
        is_proved: Compare its golden images as well; not done where a killed process must be back soon.
    Raises:
        ModelError: The bundle can't be used, isn't the one that is asked for, fails, or finds something else in its
            golden images than where it was made.
        KeysError: A trusted key's file can't be read.
    """
    settings = config.inspector
    bundle = load_trusted(config, ref.name)
    if ref.contract_sha256 not in {None, bundle.contract_sha256}:
        raise ModelError(
            f"model {ref.name}: {config.models_dir / ref.name} is not the bundle that was activated: expected sha256 "
            f"{str(ref.contract_sha256)[:12]}… of model.toml, got {bundle.contract_sha256[:12]}…; "
            f"put that one back, or activate again"
        )
    detector = Detector(
        bundle,
        provider=settings.execution_provider,
        threads=settings.intra_op_num_threads,
        max_batch=settings.max_batch,
        provider_options=settings.provider_options,
    )
    cost = BatchCost()
    for size, took_ns in detector.session.warm_up():
        cost.learn(size, took_ns)
    if is_proved:
        log.info("model %s: %s", ref.name, check_golden(detector))
    return RunningModel(
        identity=ModelIdentity(bundle.name, bundle.sha256, bundle.contract_sha256),
        detector=detector,
        examiner=Examiner(bundle, detector.session),
        cost=cost,
        batcher=Batcher(
            max_batch=detector.session.max_batch,
            max_wait_ns=round(settings.max_wait_ms * NS_PER_MS),
            margin_ns=HANDOFF_MARGIN_NS,
            cost=cost,
        ),
    )
