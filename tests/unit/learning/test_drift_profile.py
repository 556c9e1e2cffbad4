import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.cli.app import main
from appliance.errors import DatasetError, ModelError
from appliance.learning.drift.profile import PROFILE_FILE, read_profile
from appliance.learning.drift.profiling import add_profile, profile_of
from appliance.modelling import load_bundle
from appliance.ring import Pixels
from appliance.testing.tiny_detector import write_tiny_bundle


def pictures(count: int) -> list[Pixels]:
    random = np.random.default_rng(2)
    return [random.normal(100 + 10 * n, 8, (48, 64)).clip(0, 255).astype(np.uint8) for n in range(count)]


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


def test_a_profile_says_what_pictures_are_like() -> None:
    profile = profile_of(iter(pictures(5)), [0.0, 0.31], made_from="five")
    assert (profile.pictures, profile.good_pictures) == (5, 2)
    assert [int(place) * 2 for place in profile.brightness] == pytest.approx([100, 110, 120, 130, 140], abs=2)
    assert profile.score == {"0": 1, "15": 1}
    with pytest.raises(DatasetError, match="needs pictures"):
        profile_of([], [], made_from="nothing")


def test_a_bundle_takes_a_profile_and_keeps_its_network_and_everything_else(tmp_path: Path) -> None:
    before = write_tiny_bundle(tmp_path / "one")
    assert read_profile(tmp_path / "one", before.sha256) is None
    for made_from in ("first", "second"):
        after = add_profile(tmp_path / "one", profile_of(pictures(3), [], made_from=made_from))
        found = read_profile(tmp_path / "one", before.sha256)
        assert found is not None
        assert found.made_from == made_from
    assert after.sha256 == before.sha256
    assert after.contract_sha256 != before.contract_sha256
    assert after.model_dump(exclude={"files"}) == before.model_dump(exclude={"files"})
    assert set(after.files) == {*before.files, PROFILE_FILE}
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_profile_of_another_network_or_with_a_changed_bit_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "one")
    add_profile(tmp_path / "one", profile_of(pictures(3), [], made_from="x"))
    with pytest.raises(ModelError, match="another network"):
        read_profile(tmp_path / "one", "0" * 64)
    path = tmp_path / "one" / PROFILE_FILE
    path.write_text(path.read_text().replace('"x"', '"y"'))
    with pytest.raises(ModelError, match=r"profile.json differs from model.toml"):
        read_profile(tmp_path / "one", bundle.sha256)
    with pytest.raises(ModelError, match="no-such"):
        read_profile(tmp_path / "no-such", bundle.sha256)


def test_the_command_measures_the_training_split_and_says_that_the_identity_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_tiny_bundle(tmp_path / "models/one")
    for split, count in (("train", 4), ("val", 1)):
        (tmp_path / "set/images" / split).mkdir(parents=True)
        (tmp_path / "set/labels" / split).mkdir(parents=True)
        for number, pixels in enumerate(pictures(count)):
            cv2.imwrite(str(tmp_path / f"set/images/{split}/{number}.png"), pixels)
            label = "0 0.5 0.5 0.2 0.2\n" if number == 0 else ""
            (tmp_path / f"set/labels/{split}/{number}.txt").write_text(label)
    (tmp_path / "set/data.yaml").write_text("train: images/train\nval: images/val\nnames: [anything]\n")
    run("dataset", "profile", str(tmp_path / "set"), "--model", str(tmp_path / "models/one"), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["contract_sha256"]["before"] == before.contract_sha256
    assert told["contract_sha256"]["after"] == load_bundle(tmp_path / "models/one").contract_sha256
    assert (told["profile"]["pictures"], told["profile"]["good_pictures"]) == (4, 3)
    assert sum(told["profile"]["score"].values()) == 3
    assert told["signature_removed"] is False
