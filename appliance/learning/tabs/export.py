"""A folder of rendered parts that labelImg, the readers of data sets and the simulated camera all take.

OUT/images/<split>/tab_000000.png         OUT/annotations/<split>/tab_000000.xml
OUT/masks/<split>/tab_000000_mask.png     255 where a defect is; on request, of defective parts
OUT/images/<split>/truth.json              what each image shows, as the simulated camera's scoreboard reads it
OUT/manifest.json                         rendered = true, and everything that each picture came from
OUT/predefined_classes.txt                for labelImg
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import appliance
from appliance.errors import DatasetError
from appliance.learning.tabs.deviation import Deviation
from appliance.learning.tabs.draws import Draws
from appliance.learning.tabs.regime import CLASS_NAMES, RENDERER_VERSION, Regime
from appliance.learning.tabs.scene import MASK_SHARE, RenderedPart, render
from appliance.learning.tabs.voc_label import voc_label

SPLITS = ("train", "val", "test")
MANIFEST = "manifest.json"
TRUTH = "truth.json"
MOST_PARTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to render.

    Attributes:
        seed: Part n of the set has the seed `seed * MOST_PARTS + n`: two orders share no part.
        defect_share: Of the parts, in every split. shares: Of the parts, by split; they add up to 1.
        with_masks: Write masks too.
    """

    regime: Regime
    parts: int
    seed: int
    defect_share: float
    width_px: int
    height_px: int
    shares: Mapping[str, float]
    with_masks: bool


def export(order: Order, out: Path, progress: Callable[[int], object] = lambda _: None) -> dict[str, Any]:
    """Render an order into a new folder; it appears under its name when it is complete.

    Args:
        order: What to render.
        out: The folder to make.
        progress: Called with the number of parts that are done.
    Returns:
        The manifest but for its rows.
    Raises:
        DatasetError: `out` is there already, or can't be written.
    """
    if out.exists():
        raise DatasetError(f"{out}: expected a new folder, got one that exists; move it away or give another --out")
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        rows = []
        for number, (split, seed, defective) in enumerate(_plan(order)):
            rendered = _render(order, seed, defective=defective)
            rows.append(_write(partial, f"tab_{number:06d}", split, rendered, with_masks=order.with_masks))
            progress(number + 1)
        for split in order.shares:
            _write_truth(partial, [row for row in rows if row["split"] == split])
        manifest = _manifest(order, rows)
        (partial / MANIFEST).write_text(json.dumps({**manifest, "parts": rows}, indent=1) + "\n", encoding="utf-8")
        (partial / "predefined_classes.txt").write_text("".join(f"{name}\n" for name in CLASS_NAMES), encoding="utf-8")
        partial.rename(out)
    except OSError as error:
        raise DatasetError(f"{out}: can't be written: {error.strerror}; give another folder to --out") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def is_rendered(folder: Path) -> bool:
    """Whether a data set's manifest says that its parts were rendered."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("rendered") is True


def _plan(order: Order) -> Iterator[tuple[str, int, bool]]:
    """Yield split, seed and whether it is defective, of each part; good and defective ones are mixed."""
    ends = np.rint(np.cumsum(list(order.shares.values())) * order.parts).astype(int)
    number = 0
    for split, end in zip(order.shares, ends, strict=True):
        count = int(end) - number
        defective = np.arange(count) < round(count * order.defect_share)
        Draws(order.seed, f"order {split}").generator.shuffle(defective)
        for is_defective in defective:
            yield split, order.seed * MOST_PARTS + number, bool(is_defective)
            number += 1


def _render(order: Order, seed: int, *, defective: bool) -> RenderedPart:
    rendered = render(order.regime, seed, width_px=order.width_px, height_px=order.height_px, defective=defective)
    if defective and not rendered.defects:
        raise DatasetError(
            f"part {seed}: expected a defect above the visibility limits, got none at "
            f"{order.width_px}x{order.height_px} px; render larger frames"
        )
    return rendered


def _write(folder: Path, stem: str, split: str, rendered: RenderedPart, *, with_masks: bool) -> dict[str, Any]:
    image, label = Path("images") / split / f"{stem}.png", Path("annotations") / split / f"{stem}.xml"
    _write_png(folder / image, rendered.pixels)
    (folder / label).parent.mkdir(parents=True, exist_ok=True)
    (folder / label).write_text(voc_label(rendered, split, image.name), encoding="utf-8")
    files = {"image": image.as_posix(), "label": label.as_posix()}
    if with_masks and rendered.defects:
        mask = Path("masks") / split / f"{stem}_mask.png"
        _write_png(folder / mask, rendered.mask().astype(np.uint8) * 255)
        files["mask"] = mask.as_posix()
    return {"split": split, **files, **_row(rendered)}


def _write_truth(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Say beside a split's images what each shows, for a simulated camera that replays the folder."""
    truth: dict[str, Any] = {}
    for row in rows:
        defects = [{name: defect[name] for name in ("class_name", "box_px")} for defect in row["defects"]]
        truth[Path(row["image"]).name] = {"verdict": "NG" if defects else "OK", "defects": defects}
    if rows:
        path = (folder / rows[0]["image"]).with_name(TRUTH)
        path.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


def _write_png(path: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def _row(rendered: RenderedPart) -> dict[str, Any]:
    defects = [
        {
            "class_name": truth.kind,
            "box_px": list(truth.region),
            "area_px": int(truth.mask.sum()),
            "size_mm": round(truth.size_mm, 4),
            "size_px": round(truth.size_px, 2),
            "limit_mm": round(truth.limit_mm, 4),
            "contrast_grey": round(truth.contrast_grey, 2),
        }
        for truth in rendered.defects
    ]
    return {
        "seed": rendered.part.seed,
        "defects": defects,
        "harmless": [_harmless(deviation) for deviation in rendered.part.harmless],
        "defocus_px": round(rendered.defocus_px, 3),
        "motion_px": round(rendered.motion_px, 3),
        "lamp": round(rendered.lamp, 4),
    }


def _harmless(deviation: Deviation) -> dict[str, Any]:
    return {
        "class_name": deviation.kind,
        "size_mm": round(deviation.size_mm, 4),
        "limit_mm": round(deviation.limit_mm, 4),
    }


def _manifest(order: Order, rows: list[dict[str, Any]]) -> dict[str, Any]:
    mm_per_px = order.regime.optics.field_width_mm / order.width_px
    return {
        "rendered": True,
        "renderer": "appliance.learning.tabs",
        "renderer_version": RENDERER_VERSION,
        "appliance_version": appliance.__version__,
        "numpy_version": np.__version__,
        "opencv_version": cv2.__version__,
        "regime": order.regime.name,
        "seed": order.seed,
        "defect_share": order.defect_share,
        "width_px": order.width_px,
        "height_px": order.height_px,
        "mm_per_px": mm_per_px,
        "mask_share": MASK_SHARE,
        "limits_mm": {name: round(order.regime.limits.of(name, mm_per_px), 4) for name in CLASS_NAMES},
        "limit_contrast_grey": order.regime.limits.contrast_grey,
        "part_counts": dict(Counter(row["split"] for row in rows)),
        "ng_counts": dict(Counter(row["split"] for row in rows if row["defects"])),
        "defect_counts": dict(Counter(defect["class_name"] for row in rows for defect in row["defects"])),
        "settings": asdict(order.regime),
    }
