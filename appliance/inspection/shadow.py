"""The shadow process: a second model looks at the same frames; what it finds is stored, and changes no verdict.

It takes what is left over: the lowest priority, two slots of each ring, one frame at a time. A frame that comes while
it works is given back, counted as skipped. It judges by the rules of the recipe in use, so that its verdicts can be
compared with those that were given (`appliance model shadow report`). It runs while `shadow_models.json` exists.
"""

import json
import logging
import os
import select
import time
from typing import Any

import cv2

from appliance.clock import NS_PER_MS, NS_PER_S, rfc3339
from appliance.config import ApplianceConfig
from appliance.errors import ApplianceError
from appliance.inspection.examiner import Inference, Question
from appliance.inspection.inference_thread import InferenceThread
from appliance.inspection.judge import Judgement, check_recipe
from appliance.inspection.recipes import LoadedRecipe, load_recipes
from appliance.inspection.running_model import RunningModel, load_model
from appliance.messages import Finding, ModelRef, TriggerFlag, encode, shadow_finding_record
from appliance.ring import CameraFeed, FrameLease, ReaderRole
from appliance.rollout import read_shadows, shadow_path
from appliance.stage import Stage
from appliance.tally import SpoolWriter, ledger_epoch
from appliance.tally.spool import SHADOW

log = logging.getLogger(__name__)

_NICE = 19
_LOOK_NS = 500 * NS_PER_MS
_LONGEST_SLEEP_S = 0.1
_SPOOL_MAX_BYTES = 16 << 20
_STATUS_FRESH_NS = 3 * NS_PER_S

Job = tuple[str, FrameLease, LoadedRecipe, RunningModel]
_Wish = tuple[LoadedRecipe, ModelRef]


def run_shadow(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped, or no shadow is set any more.

    Raises:
        ConfigError: A recipe or the shadows' file can't be read.
        TallyError: The runtime directory can't be written.
    """
    os.nice(_NICE)
    stage.install_signal_handlers()
    cv2.setNumThreads(1)
    shadow = Shadow(config)
    try:
        stage.ready()
        while not stage.is_stopping and shadow_path(config.state_dir).exists():
            shadow.step()
            stage.beat(shadow.status)
    finally:
        shadow.close()
        stage.stopped()


class Shadow:
    """The process's state; `step` is one turn of its loop, which never waits for a model.

    Attributes:
        judged: Frames it has an opinion on.
        skipped: Frames that came while it worked, or had no time to be offered to it.
        failed: Frames on which the model failed.
    """

    def __init__(self, config: ApplianceConfig) -> None:
        settings = config.inspector.model_copy(update={"max_batch": 1, "intra_op_num_threads": 1})
        self._config = config.model_copy(update={"inspector": settings})
        self._recipes = {one.recipe.name: one for one in load_recipes(config)}
        self._epoch = ledger_epoch(config.state_dir)
        self._spool = SpoolWriter(config.runtime_dir, _SPOOL_MAX_BYTES, SHADOW)
        self._loader = InferenceThread[_Wish, RunningModel | str](self._load, name="load-model")
        self._thread = InferenceThread[Job, Inference](lambda job: job[3].examiner.infer([job[1]]), name="shadow")
        self._feeds: list[CameraFeed] = []
        self._last_ids: dict[str, int] = {}
        self._wish: _Wish | None = None
        self._model: RunningModel | None = None
        self._trouble: str | None = None
        self._look_at_ns = 0
        self.judged = self.skipped = self.failed = 0

    def step(self) -> None:
        """Look who is wanted, take frames, tell findings."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + _LOOK_NS
            self._look_around()
        for feed in self._feeds:
            feed.connect_when_due(now_ns)
        connected = [feed for feed in self._feeds if feed.is_connected]
        sources: list[Any] = [self._loader, self._thread, *connected]
        ready, _, _ = select.select(sources, [], [], _LONGEST_SLEEP_S)
        if self._loader in ready:
            self._take_model()
        for job, inference in self._thread.collect():
            self._tell(job, inference)
        for feed in connected:
            if feed in ready:
                self._take_frames(feed)

    # -- who is wanted

    def _look_around(self) -> None:
        """Follow the recipe in use, and what is set for it."""
        try:
            name = self._recipe_in_use()
            shadow = read_shadows(self._config.state_dir).get(name) if name is not None else None
        except ApplianceError as error:
            self._trouble = str(error)
            return
        wish = (self._recipes[name], shadow.model.ref) if name is not None and shadow is not None else None
        if wish == self._wish or len(self._loader):
            return
        self._wish, self._model, self._trouble = wish, None, None
        self._hang_up()
        if wish is not None:
            self._loader.submit(wish)

    def _recipe_in_use(self) -> str | None:
        """By the publisher's own word; None while it is down, or uses a recipe that we haven't read."""
        try:
            said = json.loads((self._config.runtime_dir / "status.publish.json").read_bytes())
            age_ns = time.monotonic_ns() - int(said["at_monotonic_ns"])
            name, sha256 = said["recipe"]["name"], said["recipe"]["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        ours = self._recipes.get(name)
        return name if age_ns < _STATUS_FRESH_NS and ours is not None and ours.sha256 == sha256 else None

    def _load(self, wish: _Wish) -> RunningModel | str:
        """Runs in the loader's thread."""
        recipe, ref = wish
        try:
            model = load_model(self._config, ref)
            check_recipe(recipe.recipe, model)
        except ApplianceError as error:
            return str(error)
        except Exception as error:  # a bundle from elsewhere may break whatever reads it
            log.exception("shadow model %s", ref)
            return f"{type(error).__name__}: {error}"
        return model

    def _take_model(self) -> None:
        for wish, loaded in self._loader.collect():
            if wish != self._wish:
                continue
            if isinstance(loaded, str):
                self._trouble = loaded
                log.error("shadow model %s can't be used: %s", wish[1], loaded)
                continue
            self._model = loaded
            sockets = {
                camera.name: self._config.runtime_dir / f"ring.{camera.name}.sock" for camera in self._config.cameras
            }
            self._feeds = [CameraFeed(name, path, ReaderRole.SAMPLER) for name, path in sockets.items()]
            log.warning("model %s watches the parts of recipe %s", loaded.name, wish[0].recipe.name)

    # -- frames

    def _take_frames(self, feed: CameraFeed) -> None:
        """Work on the newest frame that a model can take, if we are idle; give the others back at once."""
        leases = feed.receive()
        for lease in leases:
            self._count_missed(feed.camera, lease.trigger.trigger_id)
        model, wish = self._model, self._wish
        for lease in reversed(leases):
            if model is None or wish is None or len(self._thread) or model.examiner.refusal(lease) is not None:
                self.skipped += 1
                lease.release()
            else:
                self._thread.submit((feed.camera, lease, wish[0], model))

    def _count_missed(self, camera: str, trigger_id: int) -> None:
        last_id = self._last_ids.get(camera)
        if last_id is not None:
            self.skipped += max(0, trigger_id - last_id - 1)
        self._last_ids[camera] = trigger_id

    def _tell(self, job: Job, inference: Inference) -> None:
        """Judge a frame and spool what was found, a record a view."""
        camera, lease, recipe, model = job
        try:
            questions = [Question(recipe, view, region) for view, region in recipe.views(camera)]
            (answers,) = model.examiner.judge([lease], inference, [questions])
            for question, judgement in zip(questions, answers, strict=True):
                self._keep(job, question, judgement, {"inference": round(inference.took_ms, 3)})
            self.failed += inference.outputs is None
            self.judged += inference.outputs is not None
        finally:
            lease.release()

    def _keep(self, job: Job, question: Question, judgement: Judgement, stage_ms: dict[str, float]) -> None:
        camera, lease, recipe, model = job
        trigger = lease.trigger
        finding = Finding(
            camera=camera,
            trigger_id=trigger.trigger_id,
            verdict=judgement.verdict,
            reason=judgement.reason,
            detail=judgement.detail,
            defects=judgement.defects,
            near_misses=judgement.near_misses,
            stage_ms=stage_ms,
            view=question.view,
            recipe_sha256=recipe.sha256,
            model=model.identity,
        )
        record = shadow_finding_record(
            finding,
            line=self._config.line,
            station=self._config.station,
            ledger_epoch=self._epoch,
            recipe=recipe.reference,
            is_simulated=TriggerFlag.SIMULATED in trigger.flags,
            recorded_at=rfc3339(time.time_ns()),
        )
        self._spool.append(encode(record))

    # -- around it

    def status(self) -> dict[str, Any]:
        """Describe the shadow for the status file."""
        model = self._model
        return {
            "model": model.identity.reference if model is not None else None,
            "recipe": self._wish[0].recipe.name if self._wish is not None else None,
            "trouble": self._trouble,
            "judged": self.judged,
            "skipped": self.skipped,
            "failed": self.failed,
            "spool_refused": self._spool.refused,
        }

    def _hang_up(self) -> None:
        """Give back what the rings have lent; a frame in the model is given back when that is done."""
        for feed in self._feeds:
            feed.close()
        self._feeds = []
        self._last_ids.clear()

    def close(self) -> None:
        """Finish the frame at hand, give back everything."""
        for _, lease, _, _ in self._thread.close():
            lease.release()
        self._loader.close()
        self._hang_up()
        self._spool.close()
