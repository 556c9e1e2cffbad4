"""The table of all messages that others send or get, and the files that describe them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.contracts.asyncapi import asyncapi_document
from appliance.contracts.control import ControlReply, ControlRequest
from appliance.contracts.lanes import Heartbeat, ResultHeader, VerdictWelcome
from appliance.contracts.line_state import LineStateMessage
from appliance.contracts.record import Record
from appliance.contracts.replay import ReplayReply, ReplayRequest
from appliance.contracts.schema import schema_of
from appliance.contracts.verdict import VerdictMessage


@dataclass(frozen=True)
class Contract:
    """One message.

    Attributes:
        kind: Its type.
        description: What it is and where it travels.
        is_ours: The appliance sends it; else others send it to the appliance.
    """

    kind: Any
    description: str
    is_ours: bool = True


CONTRACTS: Mapping[str, Contract] = {
    "verdict": Contract(VerdictMessage, "A verdict on the verdict lane: sent at once, at most once."),
    "verdict_welcome": Contract(VerdictWelcome, "Greeting of the verdict lane, behind `welcome ` in the only frame."),
    "line_state": Contract(LineStateMessage, "State of the line on the verdict lane: at each change, twice a second."),
    "record": Contract(Record, "A durable result on the result lane and from replay; `kind` tells which of seven."),
    "result_header": Contract(ResultHeader, "Identity of a result: the frame before its record."),
    "heartbeat": Contract(
        Heartbeat, "State of the journal on the result lane: each second, and behind `welcome ` at each connect."
    ),
    "replay_request": Contract(ReplayRequest, "Frames of a question to replay.", is_ours=False),
    "replay_reply": Contract(ReplayReply, "Frames of replay's answer."),
    "control_request": Contract(ControlRequest, "A request on the control lane, in one frame.", is_ours=False),
    "control_reply": Contract(ControlReply, "The answer on the control lane, in one frame."),
}


def contract_files() -> dict[str, str]:
    """Write every file that describes a message; gives its text by file name."""
    documents = {
        f"{name}.json": schema_of(name, contract.kind, description=contract.description, is_ours=contract.is_ours)
        for name, contract in CONTRACTS.items()
    }
    documents["asyncapi.json"] = asyncapi_document()
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def packaged_directory() -> Path:
    """Where the files lie that come with the program."""
    return Path(__file__).parent


def differing_files(directory: Path) -> list[str]:
    """Compare a directory with what the code says; names of files that differ, are missing, or are not ours."""
    wanted = contract_files()
    found = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write_files(directory: Path) -> list[Path]:
    """Write all files into a directory, made where it is missing; gives their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in contract_files().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
