"""The AsyncAPI document holds together, and says what the code does."""

import json
from collections.abc import Iterator
from typing import Any

from appliance.contracts.asyncapi import asyncapi_document
from appliance.contracts.catalogue import CONTRACTS, packaged_directory
from appliance.messages import result_topic, verdict_topic

DOCUMENT = asyncapi_document()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        file, _, pointer = reference.partition("#")
        if file:
            assert (packaged_directory() / file).is_file(), reference
            continue
        target: Any = DOCUMENT
        for key in pointer.strip("/").split("/"):
            assert key in target, reference
            target = target[key]


def test_every_described_message_has_its_place() -> None:
    files = {reference for reference in references(DOCUMENT) if reference.startswith("./")}
    assert files == {f"./{name}.json" for name in CONTRACTS}


def test_addresses_are_the_topics_that_the_code_sends_on() -> None:
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    assert addresses["verdicts"] == "verdict.{line}.{station}"
    for name, topic in (("Verdicts", verdict_topic), ("Results", result_topic)):
        assert addresses[name.lower()] == topic("{line}", "{station}", is_simulated=False)
        assert addresses[f"simulated{name}"] == topic("{line}", "{station}", is_simulated=True)


def test_each_lane_has_an_operation_and_each_endpoint_its_security() -> None:
    served = {operation["channel"]["$ref"].rpartition("/")[2] for operation in DOCUMENT["operations"].values()}
    assert served == set(DOCUMENT["channels"])
    requests = [operation for operation in DOCUMENT["operations"].values() if operation["action"] == "receive"]
    assert len(requests) == 2
    assert all("reply" in operation for operation in requests)
    for server in DOCUMENT["servers"].values():
        assert server["security"]
        assert server["host"].startswith("127.0.0.1:")


def test_the_document_is_plain_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
