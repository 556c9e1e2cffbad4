from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from appliance.errors import ImportRefused
from appliance.modelling import FAMILIES, Family
from appliance.modelling.families.family import NoOptions
from appliance.modelling.importer.examination import examine_job, facts_of
from appliance.modelling.importer.facts import Claim, GraphFacts, ImportOptions, Preprocessing
from appliance.modelling.importer.recognition import ALIASES, recognise
from appliance.testing.foreign_network import foreign_network


def facts(content: bytes | None = None, **options: Any) -> GraphFacts:
    said = ImportOptions(**options)
    content = foreign_network() if content is None else content
    told, blobs = examine_job({"options": asdict(said), "where": "a.onnx"}, [memoryview(content)], lambda _: None)
    return facts_of(told, blobs, said)


def family(name: str, claim: Claim | None) -> Family:
    look: Callable[[GraphFacts], Claim | None] = lambda _: claim  # noqa: E731
    return Family(name, "detect", NoOptions, FAMILIES["yolov8"].decoder, look)


def families(*claims: Claim) -> dict[str, Family]:
    return {claim.family: family(claim.family, claim) for claim in claims} | {"blind": family("blind", None)}


def test_one_sure_family_is_taken_with_its_classes() -> None:
    found = recognise(facts(), "a.onnx")
    assert (found.family.name, found.class_names) == ("yolov8", ("red", "blue"))
    assert (found.claim.preprocessing.pixel_format, found.claim.preprocessing.fit) == ("RGB8", "letterbox")


def test_unknown_outputs_are_refused_with_what_was_seen() -> None:
    with pytest.raises(ImportRefused) as caught:
        recognise(facts(), "a.onnx", families())
    words = str(caught.value)
    assert "a.onnx: family blind doesn't know these outputs" in words
    assert "'images' (N, 3, 96, 64) float32, NCHW, 64x96 px; classes: 2 named" in words
    assert "'output0' (N, 6, 126) float32, (1, 6, 126)" in words
    assert "next: pass --family NAME" in words


def test_wrong_classes_are_refused_with_what_would_fit() -> None:
    def look(seen: GraphFacts) -> Claim | None:
        return Claim("one", "six rows", class_count=2) if seen.class_count in (None, 2) else None

    picky = {"one": Family("one", "detect", NoOptions, FAMILIES["yolov8"].decoder, look)}
    with pytest.raises(
        ImportRefused, match=r"(?s)class names: one, 2 classes \(six rows\).*correct --classes or --fam"
    ):
        recognise(facts(classes=("a", "b", "c")), "a.onnx", picky)


def test_wrong_family_is_refused_with_the_one_that_would_fit() -> None:
    with pytest.raises(ImportRefused, match=r"(?s)family detr doesn't know.*class names: yolov8, 2 classes"):
        recognise(facts(family="detr"), "a.onnx")


def test_two_sure_families_are_refused_and_an_option_decides() -> None:
    both = families(Claim("one", "six rows"), Claim("other", "six columns"))
    with pytest.raises(ImportRefused, match=r"(?s)2 families know.*one: six rows.*--family one or --family other"):
        recognise(facts(), "a.onnx", both)
    assert recognise(facts(family="other"), "a.onnx", both).claim.family == "other"


def test_a_doubt_is_told_with_the_option_and_nothing_is_imported() -> None:
    doubtful = families(Claim("one", "six rows", doubts=("the anchors: pass --decode anchors=…",)))
    with pytest.raises(
        ImportRefused, match=r"(?s)looks like family one \(six rows\).*unclear: the anchors: pass --dec"
    ):
        recognise(facts(), "a.onnx", doubtful)


def test_a_sure_family_wins_over_a_doubtful_one() -> None:
    asked = families(Claim("one", "six rows", doubts=("all of it",)), Claim("other", "six columns"))
    assert recognise(facts(), "a.onnx", asked).claim.family == "other"


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_names_of_networks_lead_to_their_family(name: str) -> None:
    assert ALIASES[name] in FAMILIES


def test_alias_asks_its_family_only() -> None:
    assert recognise(facts(family="yolo11"), "a.onnx").claim.family == "yolov8"
    with pytest.raises(ImportRefused, match="family detr doesn't know these outputs"):
        recognise(facts(family="rtdetr"), "a.onnx")
    with pytest.raises(ImportRefused, match=r"--family yolov99: no such family; known are .*yolov8"):
        recognise(facts(family="yolov99"), "a.onnx")


def test_class_names_are_never_made_up_silently() -> None:
    nameless = foreign_network(metadata={})
    found = recognise(facts(nameless), "a.onnx")
    assert found.class_names == ("class_0", "class_1")
    assert found.notes == ("the file names none of its 2 classes: pass --classes in the order of training",)
    named = recognise(facts(nameless, classes=("a", "b")), "a.onnx")
    assert (named.class_names, named.notes) == (("a", "b"), ())


def test_class_names_must_be_as_many_as_the_outputs_have_and_differ() -> None:
    asked = families(Claim("one", "six rows", class_count=2))
    with pytest.raises(ImportRefused, match=r"outputs have 2 classes, --classes names 3"):
        recognise(facts(classes=("a", "b", "c")), "a.onnx", asked)
    with pytest.raises(ImportRefused, match="class name 'a' stands twice"):
        recognise(facts(classes=("a", "a")), "a.onnx", asked)
    with pytest.raises(ImportRefused, match="neither the outputs nor the file tell how many classes"):
        recognise(facts(foreign_network(metadata={})), "a.onnx", families(Claim("one", "rows")))


def test_options_win_over_what_the_family_claims() -> None:
    said = {"pixel_format": "BGR8", "divisor": 1.0, "mean": (1.0, 2.0, 3.0), "fit": "stretch", "pad_value": 0}
    found = recognise(facts(**said, score=0.7, nms_iou=0.1), "a.onnx")
    assert found.claim.preprocessing == Preprocessing("BGR8", 1.0, (1.0, 2.0, 3.0), fit="stretch", pad_value=0)
    assert (found.claim.score, found.claim.nms_iou) == (0.7, 0.1)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ImportRefused, match="--mean: expected 1 or 3 numbers, got 2"):
        recognise(facts(mean=(1.0, 2.0)), "a.onnx")
    with pytest.raises(ImportRefused, match="expected numbers other than 0"):
        recognise(facts(std=(0.0,)), "a.onnx")
    with pytest.raises(ImportRefused, match="the network reads one channel"):
        recognise(facts(foreign_network(channels=1), pixel_format="RGB8"), "a.onnx")
    with pytest.raises(ImportRefused, match="reads uint8 pixels and scales them itself"):
        recognise(facts(foreign_network(dtype="uint8"), divisor=255.0), "a.onnx")


def test_network_of_one_channel_sees_grey() -> None:
    assert recognise(facts(foreign_network(channels=1)), "a.onnx").claim.preprocessing.pixel_format == "Mono8"
