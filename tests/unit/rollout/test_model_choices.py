import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.config import Recipe
from appliance.errors import ConfigError
from appliance.messages import ModelRef
from appliance.rollout import (
    AuditEntry,
    ChoicesFile,
    ModelChoice,
    ShadowChoice,
    append_audit,
    model_in_use,
    read_choices,
    read_shadows,
    shadow_path,
    write_shadows,
)
from appliance.rollout.choices import FILE, ChosenModel

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NEW = ChosenModel(name="new", contract_sha256="1" * 64)


def recipe(model: str = "own") -> Recipe:
    evidence = {"mean_grey_min": 1, "mean_grey_max": 254, "sharpness_min": 0}
    content = {"name": "a", "version": 1, "model": model, "deadline_ms": 100, "evidence": evidence}
    return Recipe.model_validate(content | {"classes": {"x": {"score": 0.5}}})


def choice() -> ModelChoice:
    return ModelChoice(model=NEW, recipe_model="own", since=NOW, by="test", previous=ChosenModel.of(ModelRef("own")))


def test_a_choice_is_read_again_and_holds_until_the_recipe_names_another_model(tmp_path: Path) -> None:
    assert model_in_use(read_choices(tmp_path), recipe()) == ModelRef("own")
    file = ChoicesFile(tmp_path)
    file.write(file.read().with_choice("a", choice()))
    file.close()
    choices = read_choices(tmp_path)
    assert (choices.revision, choices.of(recipe())) == (1, choice())
    assert model_in_use(choices, recipe()) == ModelRef("new", "1" * 64)
    assert model_in_use(choices, recipe("edited")) == ModelRef("edited")


def test_one_at_a_time_may_choose(tmp_path: Path) -> None:
    first, second = ChoicesFile(tmp_path), ChoicesFile(tmp_path)
    assert first.try_lock()
    assert not second.try_lock()
    first.close()
    assert second.try_lock()
    second.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_service(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    file = ChoicesFile(tmp_path)
    file.write(file.read().with_choice("a", choice()))
    file.close()
    write_shadows(tmp_path, {"a": ShadowChoice(model=NEW, since=NOW, by="test")})
    append_audit(tmp_path, AuditEntry("2026-11-23T00:00:00Z", "test", "activated", "a"))
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {12345}
    assert len(list(tmp_path.iterdir())) == 4


def test_a_file_of_somebody_else_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"schema_version": 9, "recipes": {}}')
    with pytest.raises(ConfigError, match="restore the file") as caught:
        read_choices(tmp_path)
    assert "\n" not in str(caught.value)


def test_shadows_have_a_file_only_while_there_is_one(tmp_path: Path) -> None:
    assert read_shadows(tmp_path) == {}
    write_shadows(tmp_path, {"a": ShadowChoice(model=NEW, since=NOW, by="test")})
    assert shadow_path(tmp_path).exists()
    assert read_shadows(tmp_path)["a"].model.ref == ModelRef("new", "1" * 64)
    write_shadows(tmp_path, {})
    assert not shadow_path(tmp_path).exists()
