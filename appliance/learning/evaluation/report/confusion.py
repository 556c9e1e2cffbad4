"""Which class is taken for which, with background for what is missed and what is made up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from appliance.learning.evaluation.evaluation import Evaluation
from appliance.learning.evaluation.matching import pairwise_iou
from appliance.learning.evaluation.report.page import table

MATCH_IOU = 0.5
_BACKGROUND = "background"


def confusion(evaluation: Evaluation) -> NDArray[np.int64]:
    """Count at the operating point: rows are labelled classes, columns detected ones, the last of each is background.

    Detections take labelled boxes best score first, whatever their class, at IoU 0.5 and more.
    """
    count = len(evaluation.class_names)
    matrix = np.zeros((count + 1, count + 1), np.int64)
    for image, judged in zip(evaluation.images, evaluation.judged, strict=True):
        boxes, defects = image.boxes[~image.is_ignored], judged.defects
        classes = image.class_ids[~image.is_ignored]
        overlaps = pairwise_iou(boxes, defects.boxes_in_image)
        of_ignored = pairwise_iou(image.boxes[image.is_ignored], defects.boxes_in_image)
        on_ignored = of_ignored.max(axis=0, initial=0.0) >= MATCH_IOU
        is_taken = np.zeros(len(boxes), np.bool_)
        for place in np.argsort(-defects.scores, kind="stable"):
            best = int(overlaps[:, place].argmax()) if len(boxes) else -1
            if best >= 0 and overlaps[best, place] >= MATCH_IOU:
                matrix[classes[best], defects.class_ids[place]] += 1
                overlaps[best] = -1  # a labelled box is taken once
                is_taken[best] = True
            elif not on_ignored[place]:
                matrix[count, defects.class_ids[place]] += 1
        for class_id in classes[~is_taken]:
            matrix[class_id, count] += 1
    return matrix


def confusion_table(evaluation: Evaluation) -> str:
    """Return the matrix as HTML; the shade is the share of the row. Classes that are nowhere are left out."""
    whole = confusion(evaluation)
    background = len(whole) - 1
    met = [place for place in range(background) if whole[place].any() or whole[:, place].any()] + [background]
    matrix = whole[np.ix_(met, met)]
    names = [[*evaluation.class_names, _BACKGROUND][place] for place in met]
    rows = []
    for row, name in enumerate(names):
        total = max(1, int(matrix[row].sum()))
        cells = [_cell(int(value), value / total, is_right=row == column) for column, value in enumerate(matrix[row])]
        if row == len(names) - 1:
            cells[-1] = "<td></td>"
        rows.append([name, *cells])
    return table(["labelled \\ detected", *names], rows, "matrix")


def _cell(value: int, share: float, *, is_right: bool) -> str:
    colour = "var(--good)" if is_right else "var(--bad)"
    shade = f"color-mix(in srgb, {colour} {round(70 * share)}%, transparent)"
    return f'<td style="background:{shade}">{value or ""}</td>'
