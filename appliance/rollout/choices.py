"""The models that people chose, by recipe: `state_dir/active_models.json`.

A recipe names its model. Whoever activates another one writes it here; that holds as long as the recipe itself names
the model it named then: a recipe that is edited later has the last word. One writer at a time: the publisher while it
runs, else the command that makes the choice.
"""

import fcntl
import os
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field

from appliance.config import ConfinedModel, Recipe
from appliance.errors import ConfigError
from appliance.messages import ModelRef
from appliance.rollout.files import adopt, read_json, write_json

FILE = "active_models.json"
_LOCK = "active_models.lock"


class ChosenModel(ConfinedModel):
    """One very bundle."""

    name: str
    contract_sha256: str | None

    @property
    def ref(self) -> ModelRef:
        """As it is asked for."""
        return ModelRef(self.name, self.contract_sha256)

    @classmethod
    def of(cls, ref: ModelRef) -> "ChosenModel":
        """Write down what is asked for."""
        return cls(name=ref.name, contract_sha256=ref.contract_sha256)


class ModelChoice(ConfinedModel):
    """What was chosen for a recipe.

    Attributes:
        recipe_model: The model that the recipe itself named at that time.
        by: Who chose it.
        previous: What `model rollback` returns to; None where there is nothing to return to.
        fell_back_from: The model that failed, where the appliance chose by itself.
    """

    model: ChosenModel
    recipe_model: str
    since: AwareDatetime
    by: str
    previous: ChosenModel | None = None
    fell_back_from: ChosenModel | None = None


class Choices(ConfinedModel):
    """All choices; `revision` grows with each change."""

    schema_version: Literal[1] = 1
    revision: int = Field(default=0, ge=0)
    recipes: dict[str, ModelChoice] = Field(default_factory=dict)

    def of(self, recipe: Recipe) -> ModelChoice | None:
        """The choice that holds for a recipe; None where the recipe's own model is used."""
        choice = self.recipes.get(recipe.name)
        return choice if choice is not None and choice.recipe_model == recipe.model else None

    def with_choice(self, recipe: str, choice: ModelChoice) -> "Choices":
        """The next revision."""
        return Choices(revision=self.revision + 1, recipes={**self.recipes, recipe: choice})


def model_in_use(choices: Choices, recipe: Recipe) -> ModelRef:
    """Say which model a recipe's parts are judged with."""
    choice = choices.of(recipe)
    return choice.model.ref if choice is not None else ModelRef(recipe.model)


def read_choices(state_dir: Path) -> Choices:
    """Read the choices; none where nobody ever chose.

    Raises:
        ConfigError: The file can't be read, or holds something else.
    """
    return read_json(state_dir / FILE, Choices) or Choices()


class ChoicesFile:
    """The right to write choices, until it is closed or its process dies.

    Raises:
        ConfigError: The state directory can't be written.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            adopt(self._fd, state_dir)
        except OSError as error:
            raise ConfigError(f"{state_dir}: can't be written: {error.strerror}; check its rights") from error

    def try_lock(self) -> bool:
        """Take the right, if nobody else has it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self) -> Choices:
        """Read the choices.

        Raises:
            ConfigError: As `read_choices`.
        """
        return read_choices(self._state_dir)

    def write(self, choices: Choices) -> None:
        """Write them durably; waits for the disk.

        Raises:
            ConfigError: It can't be written; the old content stays.
        """
        write_json(self._state_dir / FILE, choices)

    def close(self) -> None:
        """Give the right up."""
        os.close(self._fd)
