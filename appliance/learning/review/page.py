"""The page on which a person judges parts, in any browser and without a network; its answers are saved as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import ApplianceConfig
from appliance.errors import DatasetError
from appliance.learning.datasets import Labels
from appliance.learning.evaluation.report.page import page
from appliance.learning.evaluation.report.picture import Picture
from appliance.learning.review.answers import FORMAT
from appliance.learning.review.judgement import MOST_NAME, MOST_NOTE, OTHER_CLASS, identity
from appliance.learning.review.parts import PartViewer, ShownPart
from appliance.modelling import Detections

_LONGEST_PX = 1280
_QUESTIONS = {
    "OK": "The line called this part OK. Is that right, or do you see a defect?",
    "NG": "The line called this part NG. Is that right, or is the part good?",
    "UNKNOWN": "The line rejected this part without a verdict. Was that right, or is the part good?",
}
_MEANING = {
    "OK": ("Right: it is good", "Wrong: it has a defect"),
    "NG": ("Right: it has a defect", "Wrong: it is good"),
    "UNKNOWN": ("Right: it had to be rejected", "Wrong: it is good"),
}
_HEAD = """<header><h1>{title}</h1><span id="count" class="soft"></span><span class="grow"></span>
<label class="soft">Your name <input id="by" maxlength="{most}" autocomplete="name"></label>
<button id="save" class="strong">Save answers</button></header>"""
_HELP = """<p id="told" role="status" class="soft">r right, w wrong, u unsure; arrows go on and back, z zooms to the
boxes, b hides them. Answers stay in this browser until you save them as a file.</p>"""


def review_page(
    viewer: PartViewer,
    parts: Sequence[ShownPart],
    config: ApplianceConfig,
    *,
    is_drawn: bool,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Return the whole page.

    Args:
        parts: In the order in which they are shown.
        is_drawn: They came by the draw, so that the answers count in the rates.
    """
    epoch = viewer.results.journal.epoch
    sheets = []
    for number, part in enumerate(parts, start=1):
        sheets.append(_sheet(viewer, part))
        if progress is not None:
            progress(number, len(parts))
    facts = {
        "format": FORMAT,
        "page": identity("page", epoch, datetime.now(UTC).isoformat(), *(part.seq for part in parts)),
        "epoch": epoch,
        "drawn": is_drawn,
        "parts": [{"seq": part.seq, "verdict": part.verdict} for part in parts],
    }
    title = f"Review of {config.line}/{config.station}"
    body = [
        _HEAD.format(title=escape(title), most=MOST_NAME),
        _HELP,
        "<main>",
        *(sheets or ['<p class="verdict">Nothing to review: no part with a picture matched.</p>']),
        '</main><nav id="strip" aria-label="parts"></nav>',
        f'<script type="application/json" id="facts">{_json(facts)}</script>',
    ]
    here = files(__package__)
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return page(title, body, style=style, script=script)


def _sheet(viewer: PartViewer, part: ShownPart) -> str:
    """Show one part: its pictures on the left, what is known and the buttons on the right."""
    right, wrong = _MEANING[part.verdict]
    pictures = "".join(_figure(part, path) for path in part.files())
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(part))
    options = "".join(
        f'<option value="{escape(name)}">{escape(name)}</option>'
        for name in (*viewer.classes(part.record), OTHER_CLASS)
    )
    which = (
        f'<label class="which">Which defect? <select class="class"><option value="">don\'t know</option>{options}'
        "</select></label>"
        if part.verdict == "OK"
        else ""
    )
    return (
        f'<article class="part" data-seq="{part.seq}"><div class="seen">{pictures}</div><aside>'
        f'<p class="word {part.verdict.lower()}">{part.verdict}</p><p>{escape(_QUESTIONS[part.verdict])}</p>'
        f'<div class="answers"><button data-answer="right">{right} <kbd>r</kbd></button>'
        f'<button data-answer="wrong">{wrong} <kbd>w</kbd></button>'
        '<button data-answer="unsure">Unsure: the picture doesn\'t tell <kbd>u</kbd></button></div>'
        f'{which}<label class="more">Note <input class="note" maxlength="{MOST_NOTE}"></label>'
        f"<dl>{facts}</dl></aside></article>"
    )


def _facts(part: ShownPart) -> list[tuple[str, str]]:
    record = part.record
    views = ", ".join(dict.fromkeys(f"{view['camera']}/{view['trigger_id']}" for view in record["views"]))
    found = [
        (title, ", ".join(f"{one['class_name']} {one['score']:.2f}" for one in record.get(kind) or ()))
        for kind, title in (("defects", "Defects"), ("near_misses", "Weaker, not counted"))
    ]
    recipe, model = record.get("recipe") or {}, record.get("model") or {}
    facts = [
        ("Reason", record.get("reason")),
        *found,
        ("Part", record.get("part_id")),
        ("Exposed", record["captured_at"][:19].replace("T", " ") + " UTC"),
        ("Camera/trigger", views),
        ("Recipe", f"{recipe['name']} v{recipe.get('version')}" if recipe else None),
        ("Model", model.get("name")),
        ("Result", str(part.seq)),
        ("Simulated", "yes" if record.get("is_simulated") else None),
    ]
    if part.said is not None:
        facts.append(("Said before", f"{part.said.answer} by {part.said.by}"))
    return [(name, str(value)) for name, value in facts if value]


def _figure(part: ShownPart, path: Path) -> str:
    defects, weak = part.boxes(path, "defects"), part.boxes(path, "near_misses")
    names = tuple(dict.fromkeys(box["class_name"] for box in (*defects, *weak)))
    views = ", ".join(f"{one.camera}/{one.view}" for one in part.pictures if one.path == path)
    picture = Picture(
        image=Labels.empty().image(path, ()),
        kinds=(),
        class_names=names,
        focus=np.zeros((0, 4), np.float32),
        counted=_detections(defects, names),
        weak=_detections(weak, names),
        caption=views,
        longest_px=_LONGEST_PX,
    )
    try:
        return picture.html()
    except DatasetError as error:
        return f'<p class="verdict">{escape(str(error))}</p>'


def _detections(boxes: Sequence[Any], names: Sequence[str]) -> Detections:
    best = sorted(boxes, key=lambda box: -box["score"])
    return Detections(
        boxes_in_image=np.array([box["box_px"] for box in best], np.float32).reshape(-1, 4),
        scores=np.array([box["score"] for box in best], np.float32),
        class_ids=np.array([names.index(box["class_name"]) for box in best], np.int64),
    )


def _json(content: Any) -> str:
    """Write JSON that can't end the element it stands in."""
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
