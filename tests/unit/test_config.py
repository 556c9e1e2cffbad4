from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.box.bench.toml_text import write_toml
from appliance.config import ClassRule, EvidenceLimits, Recipe, load, load_recipe
from appliance.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
GOOD = """
line = "line1"
station = "tabs"
recipe = "recipe.toml"
models_dir = "models"

[[cameras]]
name = "cam0"

[cameras.source]
kind = "genicam"
serial = "SIM-0001"

[cameras.source.simulator]
images = "images"
line_hz = 8
"""


@dataclass(frozen=True)
class Wrong:
    """One mistake and what the one line about it must say."""

    name: str
    old: str
    new: str
    says: str


MISTAKES = [
    Wrong("unknown key", "line_hz", "line_hertz", "unknown key 'cameras.0.source.simulator.line_hertz'"),
    Wrong("unknown table", "[[cameras]]", "[delivry]\nx = 1\n[[cameras]]", "unknown key 'delivry'"),
    Wrong("missing key", 'station = "tabs"\n', "", "key 'station' is missing"),
    Wrong("impossible value", "line_hz = 8", "line_hz = -8", "cameras.0.source.simulator.line_hz: .*got -8"),
    Wrong("wrong type", "line_hz = 8", 'line_hz = "fast"', "line_hz: .*got 'fast'"),
    Wrong("unsafe name", 'name = "cam0"', 'name = "../cam0"', r"cameras.0.name: .*got '\.\./cam0'"),
    Wrong("unknown kind", '"genicam"', '"webcam"', "cameras.0.source: .*'genicam', 'folder'"),
    Wrong("two producers", "serial", 'producer = "x.cti"\nserial', "give either producer"),
    Wrong("not TOML", "line =", "line", "not valid TOML"),
    Wrong(
        "long runtime_dir",
        "[[cameras]]",
        f'runtime_dir = "/{"x" * 95}"\n[[cameras]]',
        "111 bytes, at most 107 are possible",
    ),
    Wrong("no camera", GOOD[GOOD.index("[[cameras]]") :], "cameras = []", "cameras: .*at least 1 item"),
]


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda wrong: wrong.name)
def test_a_mistake_is_one_line_with_file_key_and_value(wrong: Wrong, tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(GOOD.replace(wrong.old, wrong.new, 1))
    with pytest.raises(ConfigError, match=wrong.says) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_cameras_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(GOOD + GOOD[GOOD.index("[[cameras]]") :])
    with pytest.raises(ConfigError, match="names must differ"):
        load(path)


def test_a_missing_file_is_named_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.toml: no such file; give an existing TOML file"):
        load(tmp_path / "nothing.toml")


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(GOOD)
    config = load(path)
    assert config.recipe == tmp_path / "recipe.toml"
    assert config.cameras[0].replayed_folder == tmp_path / "images"


@pytest.mark.parametrize("name", ["demo.toml", "demo-real.toml", "full.toml"])
def test_every_example_loads(name: str) -> None:
    load(REPOSITORY / "examples" / name)


def test_frames_can_wait_for_drop_oldest_to_mean_anything(tmp_path: Path) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text(GOOD + '\n[cameras.ring]\nslots = 20\noverflow = "drop_oldest"\n')
    assert load(path).cameras[0].ring.effective_lease_quota == 10


names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z")
recipes = st.builds(
    Recipe,
    name=names,
    version=st.integers(1, 10**6),
    model=names,
    deadline_ms=st.floats(1, 10_000),
    near_miss_score=st.floats(0.01, 0.99),
    evidence=st.builds(
        EvidenceLimits, mean_grey_min=st.floats(0, 255), mean_grey_max=st.floats(0, 255), sharpness_min=st.floats(0, 9)
    ),
    classes=st.dictionaries(
        st.text("abcdefghij-_ '\"毛刺", min_size=1, max_size=8),
        st.builds(ClassRule, score=st.floats(0.01, 0.99)),
        min_size=1,
        max_size=4,
    ),
)


@given(recipe=recipes)
def test_a_written_recipe_loads_as_it_was(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    write_toml(path, recipe)
    assert load_recipe(path) == recipe
