"""Needs torch, which only the training environment has."""

import pytest

torch = pytest.importorskip("torch", reason="torch lives in the training environment (.venv-train)")

from appliance.learning.training.networks.assignment import assign, pairwise_iou  # noqa: E402
from appliance.learning.training.networks.loss import complete_iou, detection_loss  # noqa: E402
from appliance.learning.training.networks.nano import NANO, Detector, ExportedDetector, anchor_grid  # noqa: E402

CENTRES = anchor_grid([(8, 8), (4, 4)], (8, 16))[0]


def boxes_around(centres, half):
    return torch.cat([centres - half, centres + half]).T


def test_grid_cells_cover_the_input_from_corner_to_corner():
    centres, strides = anchor_grid([(8, 8), (4, 4)], (8, 16))
    assert centres.shape == (2, 80)
    assert centres[:, 0].tolist() == [4, 4]
    assert centres[:, 63].tolist() == [60, 60]
    assert centres[:, 64].tolist() == [8, 8]
    assert strides[0, [0, 63, 64]].tolist() == [8, 8, 16]


def test_positives_lie_inside_their_defect_and_carry_its_class():
    truth = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    targets = assign(torch.full((80, 3), 0.1), boxes_around(CENTRES, 12.0), CENTRES.T, truth, torch.tensor([2]))
    inside = ((CENTRES.T > 8) & (CENTRES.T < 40)).all(dim=1)
    assert 0 < int(targets.is_positive.sum()) <= 10
    assert bool(inside[targets.is_positive].all())
    assert float(targets.scores[:, :2].abs().sum()) == 0
    assert bool((targets.scores[targets.is_positive, 2] > 0).all())


def test_frame_without_defects_asks_for_silence():
    targets = assign(torch.rand(80, 3), boxes_around(CENTRES, 9.0), CENTRES.T, torch.zeros(0, 4), torch.zeros(0).long())
    assert not bool(targets.is_positive.any())
    assert float(targets.scores.sum()) == 0


def test_each_candidate_belongs_to_one_defect():
    truth = torch.tensor([[0.0, 0.0, 40.0, 40.0], [8.0, 8.0, 48.0, 48.0]])
    targets = assign(torch.rand(80, 3), boxes_around(CENTRES, 16.0), CENTRES.T, truth, torch.tensor([0, 1]))
    assert bool(((targets.scores > 0).sum(dim=1) <= 1).all())


def test_equal_boxes_have_iou_one():
    boxes = torch.tensor([[1.0, 2.0, 5.0, 9.0]])
    assert float(complete_iou(boxes, boxes)) == pytest.approx(1.0, abs=1e-5)
    assert float(pairwise_iou(boxes, boxes)) == pytest.approx(1.0, abs=1e-5)
    assert float(complete_iou(boxes, boxes + 100)) < 0


def test_loss_falls_when_boxes_and_scores_get_right():
    truth = [(torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([1]))]
    bad = detection_loss(torch.zeros(1, 3, 80), boxes_around(CENTRES, 4.0).T[None], CENTRES, truth)
    boxes = torch.tensor([8.0, 8.0, 40.0, 40.0])[:, None].repeat(1, 80)[None]
    inside = ((CENTRES > 8) & (CENTRES < 40)).all(dim=0)
    logits = torch.full((1, 3, 80), -8.0)
    logits[0, 1, inside] = 4.0
    assert float(detection_loss(logits, boxes, CENTRES, truth)) < 0.3 * float(bad)


def test_exported_form_has_the_rows_of_the_family():
    images = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        raw = ExportedDetector(Detector(3, NANO)).eval()(images)
    assert raw.shape == (2, 7, 80)
    assert bool((raw[:, 2:4] > 0).all())
    assert bool(((raw[:, 4:] >= 0) & (raw[:, 4:] <= 1)).all())
