"""The AsyncAPI document: which messages go where. The messages themselves are the schemas beside it."""

from typing import Any

from appliance.config import DeliveryConfig, RecorderConfig
from appliance.messages import SCHEMA_VERSION, result_topic, verdict_topic
from appliance.messages.line import line_topic
from appliance.wire.result_lane import heartbeat_topic

_JSON_SCHEMA = "application/schema+json;version=draft-2020-12"
_LINE, _STATION = "{line}", "{station}"

_DESCRIPTION = """Four ZeroMQ endpoints of an edge inspection appliance (ZMTP 3.1). Verdicts are sent at once and at
most once: a verdict that doesn't come, or comes after its `deadline_at`, means reject. Results are durable before they
are sent, and come at least once: subscribe first, then ask replay from your cursor, drop doubles by (epoch, seq),
acknowledge after your own commit. Topics of simulated cameras begin with `sim.` and are never mixed with production's.
"""
_CURVE = """CurveZMQ (rfc.zeromq.org/spec/26) with a key pair for each client and an allow-list on the appliance
(`appliance keys add NAME --role {role}`). Required wherever other machines can connect; without keys the appliance
binds loopback and ipc endpoints only, and refuses others. Role for this endpoint: `{role}`.
"""


def asyncapi_document() -> dict[str, Any]:
    """Describe all lanes."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Edge inspection appliance",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": _in_one_line(_DESCRIPTION),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "securitySchemes": _security_schemes()},
    }


def _servers() -> dict[str, Any]:
    """Default endpoints, from the configuration's own defaults."""
    delivery, recorder = DeliveryConfig(), RecorderConfig()
    endpoints = {
        "verdictLane": (delivery.verdict_endpoint, "delivery.verdict_endpoint", "verdict", "XPUB", "SUB"),
        "resultLane": (recorder.result_endpoint, "recorder.result_endpoint", "result", "XPUB", "SUB"),
        "replay": (recorder.replay_endpoint, "recorder.replay_endpoint", "result", "ROUTER", "DEALER or REQ"),
        "control": (delivery.control_endpoint, "delivery.control_endpoint", "control", "ROUTER", "DEALER or REQ"),
    }
    return {
        name: {
            "host": endpoint.removeprefix("tcp://"),
            "protocol": "zmtp",
            "protocolVersion": "3.1",
            "description": f"Bound by the appliance; `{setting}` in its configuration.",
            "security": [{"$ref": f"#/components/securitySchemes/curve{role.capitalize()}"}],
            "x-zeromq": {"bound": ours, "connect": theirs},
        }
        for name, (endpoint, setting, role, ours, theirs) in endpoints.items()
    }


def _security_schemes() -> dict[str, Any]:
    return {
        f"curve{role.capitalize()}": {
            "type": "asymmetricEncryption",
            "description": _in_one_line(_CURVE.format(role=role)),
        }
        for role in ("verdict", "result", "control")
    }


def _channels() -> dict[str, Any]:
    channels: dict[str, Any] = {}
    topics = (
        ("verdicts", verdict_topic, "verdictLane", "verdict", ["topic", "verdict"]),
        ("lineStates", line_topic, "verdictLane", "lineState", ["topic", "lineState"]),
        ("results", result_topic, "resultLane", "result", ["topic", "resultHeader", "record"]),
        ("heartbeats", heartbeat_topic, "resultLane", "heartbeat", ["topic", "heartbeat"]),
    )
    for name, topic, server, message, frames in topics:
        for channel, is_simulated in ((name, False), (f"simulated{name[0].upper()}{name[1:]}", True)):
            address = topic(_LINE, _STATION, is_simulated=is_simulated)
            channels[channel] = _channel(address, server, [message], frames) | {"parameters": _parameters()}
    for name, server, message in (
        ("verdictWelcome", "verdictLane", "verdictWelcome"),
        ("resultWelcome", "resultLane", "resultWelcome"),
    ):
        channels[name] = _channel("welcome", server, [message], [f"welcome <{message}>"])
    channels["replay"] = _channel(None, "replay", ["replayRequest", "replayReply"], ["one frame an item"])
    channels["control"] = _channel(None, "control", ["controlRequest", "controlReply"], ["one JSON object"])
    return channels


def _channel(address: str | None, server: str, messages: list[str], frames: list[str]) -> dict[str, Any]:
    return {
        "address": address,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "x-zeromq-frames": frames,
    }


def _parameters() -> dict[str, Any]:
    return {
        "line": {"description": "Line name from the appliance's configuration."},
        "station": {"description": "Station name from the appliance's configuration."},
    }


def _operations() -> dict[str, Any]:
    """What the appliance does: it sends on its lanes, and receives and answers requests."""
    operations: dict[str, Any] = {}
    for channel, definition in _channels().items():
        reference = {"$ref": f"#/channels/{channel}"}
        messages = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in definition["messages"]]
        if definition["address"] is None:
            question, answer = messages
            operations[f"answer{channel.capitalize()}"] = {
                "action": "receive",
                "channel": reference,
                "messages": [question],
                "reply": {"channel": reference, "messages": [answer]},
            }
        else:
            operations[f"send{channel[0].upper()}{channel[1:]}"] = {
                "action": "send",
                "channel": reference,
                "messages": messages,
            }
    return operations


def _messages() -> dict[str, Any]:
    files = {
        "verdict": "verdict",
        "verdictWelcome": "verdict_welcome",
        "lineState": "line_state",
        "result": "record",
        "heartbeat": "heartbeat",
        "resultWelcome": "heartbeat",
        "replayRequest": "replay_request",
        "replayReply": "replay_reply",
        "controlRequest": "control_request",
        "controlReply": "control_reply",
    }
    messages: dict[str, Any] = {name: {"name": name, "payload": _schema(file)} for name, file in files.items()}
    messages["result"]["headers"] = _schema("result_header")
    for name in ("replayRequest", "replayReply"):
        messages[name]["contentType"] = "text/plain"
    messages["controlRequest"]["correlationId"] = {"location": "$message.payload#/id"}
    messages["controlReply"]["correlationId"] = {"location": "$message.payload#/id"}
    return messages


def _schema(file: str) -> dict[str, Any]:
    return {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": f"./{file}.json"}}


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
