"""`appliance keys …`: who may connect from other machines."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import load
from appliance.errors import KeysError
from appliance.wire.certificate import write_certificate
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.keys import KeyStore

app = typer.Typer(
    help="Decide who may connect from other machines; changes apply within a second.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(help="The client's name; results are acknowledged under it.")]


@app.command()
def init(config: ConfigOption = None) -> None:
    """Make the box's keys, once. Endpoints may then be bound to other addresses than loopback."""
    store = _store(config)
    public_key = store.init()
    print(f"keys made in {store.directory}; the server's public key is\n{public_key}")


@app.command()
def add(
    name: _Name,
    role: Annotated[list[Role], typer.Option("--role", help="verdict, result or control; may be given several times.")],
    public_key: Annotated[str | None, typer.Option(help="Its public key, if it made its own pair (Z85).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write its file; default: ./NAME.key_secret")] = None,
    config: ConfigOption = None,
) -> None:
    """Allow a client; without --public-key a pair is made and written to a file to hand over."""
    store = _store(config)
    if public_key is not None:
        client = store.add(name, role, public_key)
        print(f"{name} is allowed: {_words(role)}; it needs the server's public key\n{client.server_key}")
        return
    path = out or Path(f"{name}.key_secret")
    if path.exists():
        raise KeysError(f"{path}: exists already and is kept; move it away or give another --out")
    client = store.add(name, role)
    _write_or_revoke(store, client, path)
    print(f"{name} is allowed: {_words(role)}; hand {path} over on a safe way and delete it here")


@app.command()
def revoke(name: _Name, config: ConfigOption = None) -> None:
    """Take a client off the list; it is hung up on within a second."""
    _store(config).revoke(name)
    print(f"{name} is revoked")


@app.command("list")
def list_clients(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List who may connect, with which roles."""
    store = _store(config)
    store.server_keys()
    rows = [{**asdict(client), "roles": sorted(client.roles)} for client in store.clients()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        # Plain lines: a key must neither be cut nor taken for markup.
        print(f"{row['name']:<32}  {row['public_key']}  {row['added_at']}  {' '.join(row['roles'])}")


@app.command("show-server")
def show_server(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the server's public key, which every client needs."""
    store = _store(config)
    public_key = store.server_keys().public_key
    if as_json:
        print(json.dumps({"public_key": public_key, "keys_dir": str(store.directory)}, indent=2))
    else:
        print(public_key)


def _store(config: Path | None) -> KeyStore:
    return KeyStore(load(find_config(config)).effective_keys_dir)


def _write_or_revoke(store: KeyStore, client: ClientKeys, path: Path) -> None:
    """A client nobody has the secret of would only be in the way of the next try."""
    try:
        write_certificate(path, client.certificate())
    except KeysError:
        store.revoke(client.name)
        raise


def _words(roles: list[Role]) -> str:
    return ", ".join(sorted(set(roles)))
