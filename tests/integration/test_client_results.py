"""The result clients against a served journal: real sockets, lost messages, restarts, kills."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from appliance.client import AsyncResultClient, Cursor, JournalRecreated, RangeLost, Result, ResultClient, StreamItem
from appliance.errors import PublishError
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.testing.result_stand import ServedStand, StandJournal


@pytest.fixture
def stand() -> Iterator[ServedStand]:
    with ServedStand() as stand:
        yield stand


def client_of(stand: ServedStand, cursor: Cursor | None = None, **more: tuple[str, ...]) -> ResultClient:
    return ResultClient(stand.endpoint, stand.replay_endpoint, "mes", cursor, **more)


def items(client: ResultClient, count: int) -> list[StreamItem]:
    found = [client.receive(PATIENCE_S) for _ in range(count)]
    assert None not in found, f"only {sum(item is not None for item in found)} of {count} came"
    return [item for item in found if item is not None]


def seqs(found: list[StreamItem]) -> list[int]:
    return [item.seq for item in found if isinstance(item, Result)]


def test_a_client_gets_what_is_journalled_and_then_what_comes(stand: ServedStand) -> None:
    stand.publish(3)
    with client_of(stand) as client:
        first = items(client, 3)
        stand.publish(2)
        assert seqs(first + items(client, 2)) == [1, 2, 3, 4, 5]
        assert isinstance(first[0], Result)
        assert first[0].record["inspection_id"] == 1
        assert client.is_connected
        assert client.receive(0.0) is None


def test_a_backlog_of_many_pages_comes_in_order(stand: ServedStand) -> None:
    stand.publish(2300, is_lost=True)
    with client_of(stand) as client:
        assert seqs(items(client, 2300)) == list(range(1, 2301))


def test_lost_messages_and_doubles_on_the_lane_do_not_show(stand: ServedStand) -> None:
    stand.publish(1)
    with client_of(stand, Cursor("e1", 0)) as client:
        found = items(client, 1)
        for _ in range(20):
            stand.publish(2)
            stand.publish(3, is_lost=True)
            with stand.held() as inside:
                inside.repeat(2)
        stand.publish(4, is_lost=True)  # only a heartbeat tells of these
        assert seqs(found + items(client, 104)) == list(range(1, 106))


def test_a_client_goes_on_from_its_cursor(stand: ServedStand) -> None:
    stand.publish(10)
    with client_of(stand, Cursor("e1", 7)) as client:
        assert seqs(items(client, 3)) == [8, 9, 10]


def test_results_of_other_topics_are_skipped_without_a_gap(stand: ServedStand) -> None:
    with client_of(stand) as production, client_of(stand, topics=("sim.result.",)) as trial:
        for _ in range(5):
            stand.publish(1)
            stand.publish(1, is_simulated=True)
        assert seqs(items(production, 5)) == [1, 3, 5, 7, 9]
        assert seqs(items(trial, 5)) == [2, 4, 6, 8, 10]


def test_what_retention_removed_is_told(stand: ServedStand) -> None:
    stand.publish(10)
    with stand.held() as inside:
        inside.journal.drop_before(8)
    with client_of(stand, Cursor("e1", 2)) as client:
        first, *rest = items(client, 4)
        assert first == RangeLost("e1", 3, 7)
        assert seqs(rest) == [8, 9, 10]


def test_a_journal_made_anew_is_told_while_it_happens_and_at_the_start(stand: ServedStand) -> None:
    stand.publish(5)
    with client_of(stand) as client:
        items(client, 5)
        with stand.held() as inside:
            inside.journal = StandJournal(epoch="e2")
        stand.publish(2)
        first, *rest = items(client, 3)
        assert first == JournalRecreated(Cursor("e1", 5), "e2")
        assert [item.cursor for item in rest] == [Cursor("e2", 1), Cursor("e2", 2)]
    with client_of(stand, Cursor("e1", 3)) as client:
        assert items(client, 1) == [JournalRecreated(Cursor("e1", 3), "e2")]


def test_an_acknowledgement_reaches_the_journal_even_when_the_client_closes_at_once(stand: ServedStand) -> None:
    stand.publish(3)
    with client_of(stand) as client:
        for item in items(client, 3):
            client.ack(item)
    with stand.held() as inside:
        assert inside.journal.acknowledged == {"mes": 3}
    assert client.acknowledged == Cursor("e1", 3)


def test_a_refused_acknowledgement_is_tried_again_while_results_go_on(stand: ServedStand) -> None:
    stand.publish(1)
    with client_of(stand) as client:
        items(client, 1)
        client.ack(Cursor("e1", 3))
        wait_for(lambda: client.receive(0.02) is None and client.refusal)
        assert client.refusal == "ACK 3: the journal ends at 1"
        stand.publish(2)
        items(client, 2)
        wait_for(lambda: client.receive(0.02) is None and client.refusal is None)
        assert client.acknowledged == Cursor("e1", 3)


def test_a_recorder_that_does_not_answer_for_a_while_only_delays(stand: ServedStand) -> None:
    stand.publish(2)
    with client_of(stand) as client:
        items(client, 2)
        with stand.held() as inside:
            inside.publish(is_lost=True)
            inside.publish()
            assert client.receive(1.5) is None
            client.ack(Cursor("e1", 2))
        assert seqs(items(client, 2)) == [3, 4]
    assert client.acknowledged == Cursor("e1", 2)


def test_a_client_waits_for_a_recorder_that_is_not_there_yet(tmp_path: Path) -> None:
    endpoints = f"ipc://{tmp_path}/result", f"ipc://{tmp_path}/replay"
    with ResultClient(*endpoints, "mes") as client:
        assert client.receive(1.2) is None
        assert not client.is_connected
        with ServedStand(None, *endpoints) as stand:
            stand.publish(3)
            assert seqs(items(client, 3)) == [1, 2, 3]
            wait_for(lambda: client.receive(0.02) is None and client.is_connected)  # replay may be before the lane


def test_a_malformed_endpoint_is_refused_without_a_trace() -> None:
    with pytest.raises(PublishError, match="not a ZeroMQ endpoint"):
        ResultClient("tcp://127.0.0.1:1", "nowhere", "mes")


@contextmanager
def killable_stand(directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "appliance.testing.result_stand", str(directory / "journal")]
    command += [f"ipc://{directory}/result", f"ipc://{directory}/replay", "2000"]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_every_result_comes_once_through_kills_and_stops_of_the_recorder(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    found: list[StreamItem] = []
    with ResultClient(f"ipc://{tmp_path}/result", f"ipc://{tmp_path}/replay", "mes") as client:
        for _ in range(2):
            with killable_stand(tmp_path) as process:
                found += items(client, 300)
                process.send_signal(signal.SIGSTOP)
                found += iter(lambda: client.receive(0.3), None)
                process.send_signal(signal.SIGCONT)
                found += items(client, 100)
        with killable_stand(tmp_path):
            found += items(client, max(journal.read_bytes().count(b"\n") - len(found), 1))
    bodies = [item.body for item in found if isinstance(item, Result)]
    assert len(bodies) == len(found)
    assert bodies == journal.read_bytes().splitlines()[: len(found)]


# -- asyncio


@asynccontextmanager
async def async_client_of(stand: ServedStand, cursor: Cursor | None = None) -> AsyncIterator[AsyncResultClient]:
    async with AsyncResultClient(stand.endpoint, stand.replay_endpoint, "mes", cursor) as client:
        yield client


async def async_items(client: AsyncResultClient, count: int) -> list[StreamItem]:
    found: list[StreamItem] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count and (item := await client.receive()) is not None:
            found.append(item)
    return found


def test_the_async_client_fills_gaps_and_acknowledges(stand: ServedStand) -> None:
    async def follow() -> list[StreamItem]:
        async with async_client_of(stand) as client:
            found = await async_items(client, 5)
            stand.publish(3, is_lost=True)
            stand.publish(2)
            stand.publish(2, is_lost=True)
            found += await async_items(client, 7)
            client.ack(found[-1])
            async with asyncio.timeout(PATIENCE_S):
                while client.acknowledged != Cursor("e1", 12):
                    assert await client.receive(0.02) is None
            assert client.is_connected
            return found

    stand.publish(5)
    assert seqs(asyncio.run(follow())) == list(range(1, 13))


def test_a_cancelled_wait_of_the_async_client_loses_nothing(stand: ServedStand) -> None:
    async def follow() -> list[StreamItem]:
        async with async_client_of(stand) as client:
            found = await async_items(client, 1)
            for _ in range(30):
                stand.publish(1)
                try:
                    async with asyncio.timeout(0.002):
                        while (item := await client.receive()) is not None:
                            found.append(item)
                except TimeoutError:
                    continue
            return found + await async_items(client, 31 - len(found))

    stand.publish(1)
    assert seqs(asyncio.run(follow())) == list(range(1, 32))


def test_two_async_clients_share_a_loop(stand: ServedStand) -> None:
    async def numbers(client: AsyncResultClient, count: int) -> list[int]:
        found: list[StreamItem] = []
        async for item in client:
            found.append(item)
            if len(found) == count:
                break
        return seqs(found)

    async def follow() -> list[list[int]]:
        async with async_client_of(stand) as first, async_client_of(stand, Cursor("e1", 50)) as second:
            return await asyncio.wait_for(asyncio.gather(numbers(first, 900), numbers(second, 850)), PATIENCE_S)

    stand.publish(900)
    assert asyncio.run(follow()) == [list(range(1, 901)), list(range(51, 901))]
