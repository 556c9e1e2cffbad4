"""Cuts the power of a whole appliance again and again: its disk stops, its processes die, its memory is empty.

What must be left: every row that the MES was given, the pictures that those rows name, and no id that is used twice.
"""

import random
import time
from collections.abc import Callable

from appliance.clock import NS_PER_S
from appliance.testing.faults.campaign import Outcome, close_books, judge
from appliance.testing.faults.disks import LoopDisk
from appliance.testing.faults.evidence import Episode
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.plan import Fault, Kind


def run_power_cuts(line: FaultedLine, disk: LoopDisk, cuts: int, seed: int, tell: Callable[[str], None]) -> Outcome:
    """Cut the power so many times, each after a random while of work; judge what is left.

    Args:
        line: Running, with its state directory on the disk.
    """
    chance = random.Random(seed)
    began_ns = time.monotonic_ns()
    first_pulse = line.train().last_before(began_ns) + 1
    line.until(lambda: line.mes.rows, "a first record at the MES: from it the ids of lost parts are reckoned")
    episodes = []
    for number in range(1, cuts + 1):
        line.hold(chance.uniform(0.05, 1.5))
        fault = Fault(number, Kind.POWER_CUT)
        episode = Episode(fault, began_ns=time.monotonic_ns())
        disk.cut_power()
        line.lose_power()
        disk.restore()
        episode.released_ns = time.monotonic_ns()
        line.power_on()
        line.await_recovery(episode)
        episodes.append(episode)
        tell(f"{fault}: at work again after {episode.recovery_s():.2f} s; {len(line.mes.rows)} rows")
    evidence = close_books(line, episodes, first_pulse)
    return Outcome(episodes, evidence, judge(line, evidence), (time.monotonic_ns() - began_ns) / NS_PER_S)
