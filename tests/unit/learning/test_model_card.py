"""Model cards: true of the bundle, honest about what is missing, no text as markup."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode, ModelError
from appliance.learning.model_card import ModelCard, Section, limits, model_card, never_measured
from appliance.learning.model_card_text import as_html, as_markdown
from appliance.modelling import ModelBundle, load_bundle

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return load_bundle(MODELS / "deeppcb-nano-int8")


def evaluation(bundle: ModelBundle, **more: Any) -> dict[str, Any]:
    counts = {"escapes": 3, "ng_parts": 400, "false_rejects": 0, "ok_parts": 0, "missed_defects": 9, "defects": 900}
    model = {"name": bundle.name, "contract_sha256": bundle.contract_sha256}
    per_class = {name: {"ap50": 0.5} for name in bundle.class_names}
    figures = {"map50": 0.9, "map50_95": 0.6, "recipe": None, "per_class": per_class}
    return {"model": model, "dataset": {"path": "sets/line 7/", "split": "shift"}, **counts, **figures, **more}


def reviewed(bundle: ModelBundle) -> dict[str, Any]:
    rates = {"escape_rate": 0.01, "escape_rate_ci95": [0.001, 0.05]}
    rates |= {"false_reject_rate": None, "false_reject_rate_ci95": None}
    counts = {"escapes_found": 1, "ok_judged": 90, "ok_verdicts": 9000}
    counts |= {"false_rejects_found": 0, "ng_judged": 0, "ng_verdicts": 40}
    name = f"{bundle.name} ({bundle.sha256[:12]})"
    return {"simulated_parts": 0, "by_model": {name: {**counts, **rates}}}


def test_a_card_tells_data_licence_figures_with_counts_and_intervals(bundle: ModelBundle) -> None:
    text = as_markdown(model_card(bundle))
    for told in (
        bundle.contract_sha256,
        "You can only use this dataset for research purpose.",
        "0 of 50: 0.00% (0.00% to 7.11%)",
        "61 of 282: 21.63% (16.97% to 26.90%)",
        "0 of 50 NG parts; 0 of 15 OK parts",
        "Clear it before commercial use",
        "false rejects: 0 of 15 OK parts, so few that a rate of 21.8% can't be excluded",
        "No part of this model was reviewed.",
        "Escapes on a running line: no OK part of this model was reviewed.",
    ):
        assert told in text, told


def test_evaluations_and_the_field_stand_beside_the_bundles_own_figures(bundle: ModelBundle) -> None:
    card = model_card(bundle, [evaluation(bundle)], reviewed(bundle))
    text = as_markdown(card)
    assert "line 7, shift" in text
    assert "3 of 400: 0.75%" in text
    assert "1 found, 90 of 9000 judged" in text
    assert "1.00% (0.10% to 5.00%)" in text
    never = next(section for section in card.sections if section.title == "Never measured").lines
    assert "line 7, shift: false rejects, for it has no OK parts." in never
    assert not any("no OK part of this model" in line for line in never)
    assert any("no NG part of this model was reviewed" in line for line in never)


def test_an_evaluation_of_another_model_is_refused(bundle: ModelBundle) -> None:
    other = evaluation(bundle, model={"name": "other", "contract_sha256": "00" * 32})
    with pytest.raises(ModelError, match="evaluation of other: expected one of deeppcb-nano-int8"):
        model_card(bundle, [other])
    with pytest.raises(ModelError, match="expected what"):
        model_card(bundle, [{"model": 3}])


def test_rendered_data_and_missing_figures_are_said(bundle: ModelBundle) -> None:
    assert bundle.training is not None
    training = bundle.training.model_copy(update={"data": "Rendered tabs, seed 7", "licence": "Apache-2.0"})
    rendered = bundle.model_copy(update={"training": training, "metrics": {}})
    assert any("rendered images" in line for line in limits(rendered, []))
    assert not any("Licence" in line for line in limits(rendered, []))
    assert any("no evaluation at all" in line for line in never_measured(rendered, [], None))
    unknown = bundle.model_copy(update={"training": None})
    assert any("licence as unknown" in line for line in limits(unknown, []))


def test_no_text_becomes_markup() -> None:
    card = ModelCard("a|b <i>", (Section("# x", ["[l](javascript:0) `c`\n# d"], ("h",), [("| <script>",)]),))
    text = as_markdown(card)
    assert "\\[l\\](javascript:0) \\`c\\` \\# d" in text
    assert "| \\| \\<script\\> |" in text
    page = as_html(card)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_the_command_writes_elsewhere_than_into_the_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["model", "card", "deeppcb-nano-int8", "--models-dir", str(MODELS), "--without-review", *words])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    out = tmp_path / "card.html"
    assert run("--html", "--out", str(out))[0] == 0
    assert "<h1>Model card: deeppcb-nano-int8</h1>" in out.read_text()
    assert json.loads(run("--json")[1])["title"] == "Model card: deeppcb-nano-int8"
    code, _, err = run("--out", str(MODELS / "deeppcb-nano-int8/MODEL_CARD.md"))
    assert (code, "hashed" in err) == (ExitCode.USAGE, True)
    (tmp_path / "bad.json").write_text("[]")
    code, _, err = run("--evaluation", str(tmp_path / "bad.json"))
    assert (code, len(err.splitlines()), "expected a JSON object" in err) == (ExitCode.MODEL, 1, True)
