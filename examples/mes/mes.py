"""A small MES: stores every inspection result of an appliance in SQLite exactly once.

The whole trick: a result and the cursor behind it are written in one transaction. Whatever kills this program, at its
next start it goes on behind the last result it has, and the acknowledgement tells the appliance only what is stored.
"""

import argparse
import logging
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from appliance.client import ClientKeys, Cursor, JournalRecreated, RangeLost, Result, ResultClient, StreamItem
from appliance.errors import ApplianceError

TABLES = """
    CREATE TABLE IF NOT EXISTS results (
        epoch TEXT NOT NULL, seq INTEGER NOT NULL, inspection_id INTEGER, kind TEXT NOT NULL, part_id TEXT,
        verdict TEXT NOT NULL, is_simulated INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (epoch, seq)
    );
    CREATE TABLE IF NOT EXISTS gaps (
        epoch TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER, why TEXT NOT NULL,
        PRIMARY KEY (epoch, first_seq)
    );
    CREATE TABLE IF NOT EXISTS cursor (consumer TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL);
"""
BATCH = 500
STOP_NOTICED_S = 0.2


def main() -> None:
    """Follow the appliance until SIGTERM, SIGINT or an error."""
    parser = argparse.ArgumentParser(description="Store every inspection result exactly once.")
    parser.add_argument("--endpoint", default="tcp://127.0.0.1:5573", help="result lane of the appliance")
    parser.add_argument("--replay", default="tcp://127.0.0.1:5574", help="replay endpoint of the appliance")
    parser.add_argument("--database", type=Path, default=Path("mes.db"), help="SQLite file, made where it is missing")
    parser.add_argument("--consumer", default="mes", help="name in the appliance's books; with --keys the key's name")
    parser.add_argument("--keys", type=Path, help="key file from `appliance keys add`, for other machines")
    parser.add_argument("--simulated", action="store_true", help="take results of simulated cameras too")
    arguments = parser.parse_args()
    logging.basicConfig(format="mes: %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        keys = ClientKeys.load(arguments.keys) if arguments.keys else None
        topics = ("result.", "sim.result.") if arguments.simulated else ("result.",)
        database = open_database(arguments.database)
        cursor = load_cursor(database, arguments.consumer)
        with ResultClient(
            arguments.endpoint, arguments.replay, arguments.consumer, cursor, topics=topics, keys=keys
        ) as client:
            follow(client, database, arguments.consumer, cursor, stop)
    except ApplianceError as error:
        sys.exit(f"mes: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file; a commit is on the disk when it returns."""
    # A rollback journal, not WAL: Python's SQLite may be one of 3.7.0 to 3.51.2, whose WAL can be damaged by a reset.
    database = sqlite3.connect(path, timeout=30)
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(TABLES)
    return database


def load_cursor(database: sqlite3.Connection, consumer: str) -> Cursor | None:
    """Find the last item that is stored; None in a new database."""
    row = database.execute("SELECT epoch, seq FROM cursor WHERE consumer = ?", (consumer,)).fetchone()
    return Cursor(*row) if row else None


def follow(
    client: ResultClient,
    database: sqlite3.Connection,
    consumer: str,
    cursor: Cursor | None,
    stop: threading.Event,
) -> None:
    """Store what comes, until somebody wants us to stop."""
    if cursor is not None:
        client.ack(cursor)  # the last acknowledgement may have died with this program
    while not stop.is_set():
        item = client.receive(STOP_NOTICED_S)
        if item is None:
            continue
        batch = [item]
        while len(batch) < BATCH and (item := client.receive(0)) is not None:
            batch.append(item)
        with database:  # one transaction: all of it, or nothing
            for each in batch:
                store(database, each)
            place = batch[-1].cursor
            database.execute("REPLACE INTO cursor VALUES (?, ?, ?)", (consumer, place.epoch, place.seq))
        client.ack(place)


def store(database: sqlite3.Connection, item: StreamItem) -> None:
    """Write one item. A plain INSERT: should a result ever come twice, this program ends with an error."""
    match item:
        case Result(epoch, seq, body):
            record = item.record
            names = ("inspection_id", "kind", "part_id", "verdict", "is_simulated")
            database.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (epoch, seq, *map(record.get, names), body)
            )
        case RangeLost(epoch, first_seq, last_seq):
            database.execute("INSERT INTO gaps VALUES (?, ?, ?, 'removed')", (epoch, first_seq, last_seq))
        case JournalRecreated(previous):
            database.execute(
                "INSERT INTO gaps VALUES (?, ?, NULL, 'journal made anew')", (previous.epoch, previous.seq + 1)
            )


if __name__ == "__main__":
    main()
