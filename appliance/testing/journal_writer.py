"""A journal writer to be killed: it says what is durable only once it is."""

import os
import random
from pathlib import Path

from appliance.records.journal import Journal
from appliance.testing.journal_records import inspection

_PARTITION_ROWS = 40
_DROP_ABOVE = 2


def write_until_killed(directory: str, acknowledged: str, seed: int) -> None:
    """Append groups for ever, change partitions and drop old ones; after each commit note the head in a file."""
    random_numbers = random.Random(seed)
    journal = Journal.open(Path(directory))
    fd = os.open(acknowledged, os.O_WRONLY | os.O_CREAT, 0o600)
    while True:
        first = journal.head_seq + 1
        size = random_numbers.randrange(1, 17)
        journal.append([inspection(number, pad="x" * 2000) for number in range(first, first + size)])
        os.pwrite(fd, journal.head_seq.to_bytes(8, "little"), 0)
        if journal.head_seq // _PARTITION_ROWS > (first - 1) // _PARTITION_ROWS:
            journal.seal()
        while len(journal.partitions()) > _DROP_ABOVE:
            journal.drop(journal.partitions()[0])
