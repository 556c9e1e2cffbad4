"""`appliance line …`, `part set` and `recipe select`: what a line controller asks over the network, from a terminal."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.client import ControlClient, at_count, at_encoder, at_trigger
from appliance.config import load
from appliance.errors import ExitCode
from appliance.messages.binding import Binding
from appliance.messages.control import CONTROL_REQUEST, ControlRequest
from appliance.wire.sockets import box_keys_for, reachable

app = typer.Typer(help="Show and steer the line's handshake.", no_args_is_help=True)
part_app = typer.Typer(help="Announce parts.", no_args_is_help=True)
recipe_app = typer.Typer(help="Change recipes on the running line.", no_args_is_help=True)

_At = Annotated[
    str, typer.Option("--at", help="The trigger: count:N (the controller's), encoder:CAMERA:N or trigger:CAMERA:ID.")
]


@app.command("state")
def state(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show whether the line is ready, and why not."""
    answer = _ask(config, {"request": "line.state"})
    line = answer["state"]
    if as_json:
        print(json.dumps(line, indent=2))
        return
    print("ready" if line["ready"] else "NOT READY: " + "; ".join(line["not_ready_because"]))
    print(f"recipe {line['recipe']['name']} version {line['recipe']['version']}, verdict_seq {line['verdict_seq']}")
    print(f"our count {line['our_count']}, controller's {line['controller_count']}")
    bits = ("stop_requested", "trigger_acknowledged", "result_valid", "result_acknowledged", "overrun")
    print(", ".join(f"{bit.replace('_', ' ')} {'yes' if line[bit] else 'no'}" for bit in bits))
    print(", ".join(f"{name.replace('_', ' ')} {number}" for name, number in line["counters"].items()))


@app.command("resync")
def resync(
    controller_count: Annotated[int, typer.Argument(help="The controller's number of that trigger.")],
    at: Annotated[
        str | None, typer.Option("--at", help="encoder:CAMERA:N or trigger:CAMERA:ID; default: the last.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring both trigger counts together: at a named trigger, or with the line standing still."""
    bind = {"bind": _binding(at)} if at is not None else {}
    _carry_out(config, {"request": "line.resync", "controller_count": controller_count, **bind}, as_json=as_json)


@app.command("release")
def release(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Take a stop request back: the line may run on."""
    _carry_out(config, {"request": "line.release"}, as_json=as_json)


@part_app.command("set")
def part_set(
    part_id: Annotated[str, typer.Argument(help="The part's id.")],
    at: _At,
    *,
    job_id: Annotated[str | None, typer.Option(help="The job it belongs to.")] = None,
    lot: Annotated[str | None, typer.Option(help="Its lot.")] = None,
    lane: Annotated[str | None, typer.Option(help="Its lane on the line.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Reject it unless this recipe is in use then.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which part passes at a trigger."""
    named = {"job_id": job_id, "lot": lot, "lane": lane, "recipe": recipe}
    fields = {name: value for name, value in named.items() if value is not None}
    request = {"request": "part.set", "part_id": part_id, "bind": _binding(at), **fields}
    _carry_out(config, request, as_json=as_json)


@recipe_app.command("select")
def recipe_select(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe that the configuration lists.")],
    at: _At,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Use another recipe from a trigger on; done when the inspector has loaded it."""
    _carry_out(config, {"request": "recipe.select", "recipe": recipe, "from": _binding(at)}, as_json=as_json)


def _carry_out(config: Path | None, request: dict[str, Any], *, as_json: bool) -> None:
    answer = _ask(config, request)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print(": ".join(word for word in (answer["status"], answer["message"]) if word))
    if answer["status"] not in {"ok", "duplicate"}:
        sys.exit(ExitCode.CHECK_FAILED)


def _ask(config: Path | None, request: dict[str, Any]) -> dict[str, Any]:
    settings = load(find_config(config))
    endpoint = settings.delivery.control_endpoint
    keys = box_keys_for(endpoint, settings.effective_keys_dir)
    with ControlClient(reachable(endpoint), keys) as client:
        return client.ask(_checked(request)).content


def _checked(request: dict[str, Any]) -> ControlRequest:
    try:
        return CONTROL_REQUEST.validate_python(request)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"][1:]))
        raise typer.BadParameter(f"{field}: {first['msg']}, got {first['input']!r:.80}") from None


def _binding(text: str) -> dict[str, Any]:
    """Read what --at names."""
    try:
        bind = _read_binding(text.split(":"))
    except ValueError:
        bind = None
    if bind is None:
        told = f"expected count:N, encoder:CAMERA:N or trigger:CAMERA:ID, got {text!r:.80}"
        raise typer.BadParameter(told, param_hint="--at")
    return bind.model_dump(exclude_none=True)


def _read_binding(words: list[str]) -> Binding | None:
    match words:
        case ["count", number]:
            return at_count(int(number))
        case ["encoder", camera, number]:
            return at_encoder(camera, int(number))
        case ["trigger", camera, number]:
            return at_trigger(camera, int(number))
    return None
