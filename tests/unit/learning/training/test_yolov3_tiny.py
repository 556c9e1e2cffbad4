"""YOLOv3-tiny against its decode written out in NumPy. Needs torch, which only the training environment has."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch lives in the training environment (.venv-train)")

from appliance.learning.training.export import export  # noqa: E402
from appliance.learning.training.networks import NETWORKS  # noqa: E402
from appliance.learning.training.networks.yolov3_loss import answering, yolov3_loss  # noqa: E402
from appliance.learning.training.plan import Plan  # noqa: E402
from appliance.modelling.importer.examination import examine  # noqa: E402
from appliance.modelling.importer.facts import ImportOptions  # noqa: E402
from appliance.modelling.importer.recognition import recognise  # noqa: E402

ANCHORS = ((6.0, 8.0), (12.0, 10.0), (20.0, 24.0), (40.0, 30.0), (50.0, 60.0), (90.0, 80.0))
WIDTH, HEIGHT, CLASSES = 96, 64, 2


def network(name="yolov3-tiny"):
    torch.manual_seed(1)
    return NETWORKS[name](plan(name)).eval()


def plan(name="yolov3-tiny"):
    names = tuple(f"class {number}" for number in range(CLASSES))
    return Plan("set", names, WIDTH, HEIGHT, "work", network=name, anchors=ANCHORS)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def decoded_by_hand(rows):
    """Decode raw rows (A, 5 + C) one after the other, as the paper writes it; gives (A, 4 + C)."""
    found, place = [], 0
    for stride, anchors in ((16, ANCHORS[:3]), (32, ANCHORS[3:])):
        for row in range(HEIGHT // stride):
            for column in range(WIDTH // stride):
                for width, height in anchors:
                    tx, ty, tw, th, objectness, *classes = rows[place]
                    box = [
                        (sigmoid(tx) + column) * stride,
                        (sigmoid(ty) + row) * stride,
                        width * np.exp(tw),
                        height * np.exp(th),
                    ]
                    found.append([*box, *(sigmoid(objectness) * sigmoid(np.array(classes)))])
                    place += 1
    assert place == len(rows)
    return np.array(found)


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov3-tiny-relu"])
def test_exported_rows_are_what_the_paper_computes_from_the_raw_ones(name):
    net = network(name)
    images = torch.randint(0, 256, (2, 1, HEIGHT, WIDTH), dtype=torch.uint8)
    with torch.inference_mode():
        raw = net(images.float() / 255).numpy()
        rows = net.exported().eval()(images).numpy()
    assert rows.shape == (2, 4 + CLASSES, 3 * (6 * 4 + 3 * 2))
    for one in range(2):
        np.testing.assert_allclose(rows[one].T, decoded_by_hand(raw[one]), rtol=1e-4, atol=1e-4)


def test_raw_rows_are_the_maps_of_darknet():
    net = network()
    images = torch.rand(1, 1, HEIGHT, WIDTH)
    with torch.inference_mode():
        at_16 = net.to_16(images)
        at_32 = net.to_32(at_16)
        coarse = net.head_32(at_32).numpy()[0]
        rows = net(images).numpy()[0]
    row = 5 + CLASSES
    first = 3 * (HEIGHT // 16) * (WIDTH // 16)
    for y in range(HEIGHT // 32):
        for x in range(WIDTH // 32):
            for anchor in range(3):
                wanted = coarse[anchor * row : (anchor + 1) * row, y, x]
                np.testing.assert_allclose(rows[first + (y * (WIDTH // 32) + x) * 3 + anchor], wanted, rtol=1e-5)


def test_one_candidate_answers_for_a_defect_by_cell_and_shape():
    net = network()
    origins, strides, anchors = net.grid((HEIGHT, WIDTH))
    boxes = torch.tensor([[30.0, 20.0, 42.0, 30.0], [20.0, 8.0, 72.0, 62.0]])
    owners = answering(boxes, (origins * strides, strides, anchors))
    assert anchors[owners].tolist() == [[12.0, 10.0], [50.0, 60.0]]
    assert (origins * strides)[owners].tolist() == [[32.0, 16.0], [32.0, 32.0]]


def test_loss_falls_to_nothing_when_the_rows_say_the_truth():
    net = network()
    cells, strides, anchors = net.grid((HEIGHT, WIDTH))
    grid = (cells * strides, strides, anchors)
    truth = [(torch.tensor([[30.0, 20.0, 42.0, 30.0]]), torch.tensor([1]))]
    owner = int(answering(truth[0][0], grid)[0])
    rows = torch.full((1, len(anchors), 5 + CLASSES), -12.0)
    rows[..., 2:4] = 0.0
    rows[0, owner, :2] = torch.logit((torch.tensor([36.0, 25.0]) - grid[0][owner]) / strides[owner])
    rows[0, owner, 4], rows[0, owner, 6] = 12.0, 12.0
    assert float(yolov3_loss(rows, net.boxes(rows, (HEIGHT, WIDTH)), grid, truth)) < 0.02
    spoiled = rows.clone()
    spoiled[0, owner, 4] = -12.0
    assert float(yolov3_loss(spoiled, net.boxes(spoiled, (HEIGHT, WIDTH)), grid, truth)) > 10


def test_candidates_that_overlap_a_defect_anyway_are_not_punished():
    net = network()
    cells, strides, anchors = net.grid((HEIGHT, WIDTH))
    grid = (cells * strides, strides, anchors)
    truth = [(torch.tensor([[20.0, 8.0, 72.0, 62.0]]), torch.tensor([0]))]
    rows = torch.full((1, len(anchors), 5 + CLASSES), -12.0)
    rows[..., 2:4] = 0.0
    owner = int(answering(truth[0][0], grid)[0])
    same_cell = (grid[0] == grid[0][owner]).all(dim=1) & (strides[:, 0] == strides[owner, 0])
    neighbour = next(place for place in same_cell.nonzero()[:, 0].tolist() if anchors[place, 0] == 90)
    quiet = float(yolov3_loss(rows, net.boxes(rows, (HEIGHT, WIDTH)), grid, truth))
    rows[0, neighbour, 4] = 12.0  # 90x80 px over 52x54: IoU 0.39, below the limit
    assert float(yolov3_loss(rows, net.boxes(rows, (HEIGHT, WIDTH)), grid, truth)) > quiet + 10
    rows[0, neighbour, 2:4] = torch.log(torch.tensor([52 / 90, 54 / 80]))
    assert float(yolov3_loss(rows, net.boxes(rows, (HEIGHT, WIDTH)), grid, truth)) == pytest.approx(quiet, abs=0.1)


def test_the_importer_reads_the_exported_file_as_yolov3(tmp_path: Path):
    export(network(), plan(), tmp_path / "trained.onnx", [np.zeros((HEIGHT, WIDTH), np.uint8)])
    options = ImportOptions(family="yolov3", classes=plan().class_names, pixel_format="Mono8", fit="letterbox")
    facts = examine((tmp_path / "trained.onnx").read_bytes(), options, "trained.onnx")
    claim = recognise(facts, "trained.onnx").claim
    assert (claim.family, claim.decode["form"], claim.decode["boxes"]) == ("yolov3", "boxes", "cxcywh_px")
    assert claim.decode["objectness"] is False
    assert (facts.input_width, facts.input_height) == (WIDTH, HEIGHT)
