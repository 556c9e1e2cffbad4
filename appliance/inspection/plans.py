"""What frames are judged by: recipes and loaded models, as the publisher asks for them.

The publisher alone knows from which part on a recipe or a model counts; it says which frames are to be judged by what,
and takes the finding of the right pair. Models come and go here: one that is asked for is loaded in a thread beside the
running one and says so when it is ready; one that nobody asks for any more is dropped as soon as it is idle.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.config import ApplianceConfig
from appliance.errors import ApplianceError
from appliance.inspection.inference_thread import InferenceThread
from appliance.inspection.judge import check_recipe
from appliance.inspection.recipes import LoadedRecipe, load_recipes
from appliance.inspection.running_model import RunningModel, load_model
from appliance.messages import ModelIdentity, ModelRef
from appliance.messages.plan import JudgingPlan, PlanReport, PlanState, introduction
from appliance.rollout import model_in_use, read_choices

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Assignment:
    """A recipe and a model that a frame is to be judged by.

    Attributes:
        model: None while it isn't loaded, or can't be.
        identity: The model, as far as it is known.
        trouble: Why nothing can be judged by it; None when it can.
    """

    recipe: LoadedRecipe
    identity: ModelIdentity
    model: RunningModel | None
    trouble: str | None = None


class PlanSet:
    """Plans, recipes and models of the process. Owned by the inspector's loop.

    Attributes:
        main: The configuration's main recipe.
        plans: As the publisher wants them; at the start the main recipe alone, with the model in use.
    Raises:
        ConfigError: A recipe can't be read, or names a class that its model doesn't know.
        ModelError: The model in use can't be used.
    """

    def __init__(self, config: ApplianceConfig) -> None:
        self._config = config
        self._recipes = {one.sha256: one for one in load_recipes(config)}
        self.main = next(iter(self._recipes.values()))
        ref = model_in_use(read_choices(config.state_dir), self.main.recipe)
        model = load_model(config, ref, is_proved=False)
        check_recipe(self.main.recipe, model)
        self._start = JudgingPlan(self.main.sha256, ref)
        self.plans = [self._start]
        self._models: dict[ModelRef, RunningModel] = {ref: model}
        self._failures: dict[ModelRef, str] = {}
        self._leaving: list[RunningModel] = []
        self._refusals: dict[tuple[str, RunningModel], str | None] = {}
        self._loading: ModelRef | None = None
        self._loader = InferenceThread[ModelRef, RunningModel | str](self._load, name="load-model")

    # -- asked by the loop

    def assignments(self, exposed_ns: int) -> list[Assignment]:
        """What a frame is to be judged by; recipes that are strange to us are left out."""
        return [
            self._assignment(plan)
            for plan in self.plans
            if plan.covers(exposed_ns) and plan.recipe_sha256 in self._recipes
        ]

    def models(self) -> list[RunningModel]:
        """All models that may have frames, those that are wanted first."""
        return [*self._models.values(), *self._leaving]

    @property
    def first(self) -> Assignment:
        """What most parts need now."""
        return self._assignment(
            next(plan for plan in (*self.plans, self._start) if plan.recipe_sha256 in self._recipes)
        )

    # -- told by the publisher

    def want(self, plans: Sequence[JudgingPlan]) -> None:
        """Judge by these from now on, and hold their models ready."""
        self.plans = list(plans)
        wanted = {plan.model for plan in plans}
        for ref in [ref for ref in self._models if ref not in wanted]:
            self._leaving.append(self._models.pop(ref))
        self._failures = {ref: told for ref, told in self._failures.items() if ref in wanted}
        self._load_next()

    def report(self) -> list[PlanReport]:
        """How far each plan is."""
        return [self._report(plan) for plan in self.plans]

    def introduction(self) -> dict[str, Any]:
        """What the publisher is told first: recipes, plans, and how far they are."""
        recipes = [one.reference for one in self._recipes.values()]
        return introduction(recipes, self.plans, self.report())

    # -- loading

    def fileno(self) -> int:
        """Descriptor to poll: readable when a model is loaded, or can't be."""
        return self._loader.fileno()

    def collect(self) -> bool:
        """Take over what was loaded; tells whether there is something new to report."""
        finished = self._loader.collect()
        for ref, loaded in finished:
            self._loading = None
            if all(plan.model != ref for plan in self.plans):
                log.info("model %s is loaded, but nobody wants it any more", ref)
            elif isinstance(loaded, RunningModel):
                self._models[ref] = loaded
                log.info("model %s is ready", ref)
            else:
                self._failures[ref] = loaded
                log.error("model %s can't be used: %s", ref, loaded)
        if finished:
            self._load_next()
        return bool(finished)

    def drop_idle(self) -> None:
        """Let go of models that nobody wants and that have nothing to do."""
        if self._leaving:
            self._leaving = [model for model in self._leaving if not model.is_idle]
            kept = self.models()
            self._refusals = {key: told for key, told in self._refusals.items() if key[1] in kept}

    def close(self) -> None:
        """Wait for a model that is being loaded."""
        self._loader.close()

    # -- inside

    def _load_next(self) -> None:
        """Load what is wanted, one after another; a bundle that is loaded already is shared."""
        for ref in dict.fromkeys(plan.model for plan in self.plans):
            if ref in self._models or ref in self._failures:
                continue
            same = next((model for model in self.models() if model.identity.is_asked_by(ref)), None)
            if same is not None and ref.contract_sha256 is not None:
                self._models[ref] = same
                self._leaving = [model for model in self._leaving if model is not same]
            elif self._loading is None:
                self._loading = ref
                self._loader.submit(ref)

    def _load(self, ref: ModelRef) -> RunningModel | str:
        """Runs in the loader's thread."""
        start_ns = time.monotonic_ns()
        try:
            model = load_model(self._config, ref)
        except ApplianceError as error:
            return str(error)
        except Exception as error:  # a bundle from elsewhere may break whatever reads it; the running model judges on
            log.exception("model %s", ref)
            return f"{type(error).__name__}: {error}"
        log.info("model %s loaded in %.0f ms", ref, (time.monotonic_ns() - start_ns) / 1e6)
        return model

    def _report(self, plan: JudgingPlan) -> PlanReport:
        recipe, model = self._recipes.get(plan.recipe_sha256), self._models.get(plan.model)
        failure = self._failures.get(plan.model)
        if recipe is None:
            failure = "the inspector has read another recipe of this name: the file was changed; restart both"
        elif model is not None:
            failure = self._refusal(recipe, model)
        elif failure is None:
            return PlanReport(plan.recipe_sha256, plan.model, PlanState.LOADING)
        state = PlanState.READY if failure is None else PlanState.FAILED
        return PlanReport(plan.recipe_sha256, plan.model, state, model.identity if model is not None else None, failure)

    def _assignment(self, plan: JudgingPlan) -> Assignment:
        recipe, model = self._recipes[plan.recipe_sha256], self._models.get(plan.model)
        if model is not None:
            trouble = self._refusal(recipe, model)
            return Assignment(recipe, model.identity, model if trouble is None else None, trouble)
        identity = ModelIdentity(plan.model.name, "", plan.model.contract_sha256)
        told = self._failures.get(plan.model, "it is being loaded")
        return Assignment(recipe, identity, None, f"model {plan.model.name} isn't there: {told}")

    def _refusal(self, recipe: LoadedRecipe, model: RunningModel) -> str | None:
        """Why a recipe can't be judged by with a model; None when it can."""
        key = recipe.sha256, model
        if key not in self._refusals:
            try:
                check_recipe(recipe.recipe, model)
            except ApplianceError as error:
                self._refusals[key] = str(error)
            else:
                self._refusals[key] = None
        return self._refusals[key]
