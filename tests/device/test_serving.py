"""Workers are given in turn, and those who wait can be turned away."""

import threading

import pytest

from hdap.device.messages import TurnedAway
from hdap.device.serving import Slots
from tests.device.switcher_clients import until


def test_workers_are_given_in_the_order_of_arrival() -> None:
    slots, order = Slots(1), list[int]()

    def work(place: int) -> None:
        with slots:
            order.append(place)

    threads = []
    with slots:
        for place in range(8):
            thread = threading.Thread(target=work, args=(place,))
            thread.start()
            threads.append(thread)
            assert until(lambda: slots.waiting == len(threads))
    for thread in threads:
        thread.join(30)
    assert order == list(range(8))
    assert slots.waiting == 0


def test_those_who_wait_are_turned_away_and_those_who_work_are_not() -> None:
    slots, told = Slots(1), list[str]()

    def wait() -> None:
        try:
            with slots:
                told.append("worked")
        except TurnedAway:
            told.append("turned away")

    threads = [threading.Thread(target=wait) for _ in range(3)]
    with slots:
        for thread in threads:
            thread.start()
        assert until(lambda: slots.waiting == len(threads))
        slots.turn_away()
        for thread in threads:
            thread.join(30)
        with pytest.raises(TurnedAway), slots:
            told.append("worked")
    assert told == 3 * ["turned away"]
    with slots:
        assert slots.waiting == 0
