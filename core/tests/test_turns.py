"""The threads that answer requests: few, and never all of them held up."""

import threading
import time

import pytest
from treenail.turns import PATIENCE, Turns, aside


@pytest.fixture
def turns():
    made = Turns(steady=2, most=5)
    yield made
    made.shutdown()


def alive(turns: Turns) -> int:
    return turns._threads


def soon(condition) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_results_and_errors_are_the_futures(turns: Turns):
    assert [turns.submit(pow, 2, n).result(5) for n in range(5)] == [1, 2, 4, 8, 16]
    with pytest.raises(ZeroDivisionError):
        turns.submit(lambda: 1 / 0).result(5)
    assert turns.submit(int, "7").result(5) == 7


def test_no_more_than_the_steady_ones_work_at_a_time(turns: Turns):
    at_work, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(PATIENCE / 10)
        with lock:
            at_work[0] -= 1

    for future in [turns.submit(work) for _ in range(50)]:
        future.result(5)
    assert most[0] == 2


def test_who_stands_aside_is_stood_in_for_at_once(turns: Turns):
    go = threading.Event()

    def wait() -> None:
        with aside():
            go.wait(5)

    held = [turns.submit(wait) for _ in range(2)]
    began = time.monotonic()
    assert turns.submit(int, "7").result(5) == 7
    assert time.monotonic() - began < PATIENCE
    go.set()
    for future in held:
        future.result(5)
    for _ in range(4):
        turns.submit(int).result(5)
    assert soon(lambda: alive(turns) == 2)


def test_who_is_held_up_for_long_is_stood_in_for(turns: Turns):
    go = threading.Event()
    held = [turns.submit(go.wait, 10) for _ in range(4)]
    assert turns.submit(int, "7").result(5) == 7
    go.set()
    for future in held:
        future.result(5)
    for _ in range(8):
        turns.submit(int).result(5)
    assert soon(lambda: alive(turns) == 2)


def test_there_is_an_end_to_it(turns: Turns):
    go = threading.Event()
    held = [turns.submit(go.wait, 10) for _ in range(8)]
    late = turns.submit(int, "7")
    time.sleep(PATIENCE * 8)
    assert alive(turns) == 5
    assert not late.done()
    go.set()
    assert late.result(5) == 7
    assert all(future.result(5) for future in held)


def test_out_of_a_request_nobody_needs_to_stand_aside():
    with aside():
        pass
