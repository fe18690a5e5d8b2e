"""What is sent again and when: until it is answered for, ever less often, and never twice at once."""

from agent.uplink import LONGEST_WAIT_S, REFUSED_WAIT_S, Uplink

TIMEOUT_S = 10.0


def uplink(spread=0.0):
    return Uplink(TIMEOUT_S, lambda: spread)


def due(made, waiting, now_s):
    return list(made.due(waiting, now_s))


def sent_and_published(made, row, token, now_s, *, ok=True):
    made.sent(row, token, now_s)
    assert made.published(token, ok=ok, now_s=now_s) == row


def test_what_was_never_sent_is_due_in_the_order_of_the_queue():
    assert due(uplink(), [3, 5, 9], 0.0) == [3, 5, 9]


def test_what_the_broker_has_not_acknowledged_is_not_sent_again_while_the_link_lasts():
    made = uplink()
    made.sent(3, 101, 0.0)
    assert due(made, [3, 5], 1e9) == [5]


def test_an_acknowledgement_of_the_broker_is_no_proof_the_statement_comes_round_again():
    made = uplink()
    sent_and_published(made, 3, 101, 0.0)
    assert due(made, [3], 9.9) == []
    assert due(made, [3], 10.0) == [3]


def test_the_wait_doubles_with_each_time_up_to_a_limit():
    made, now_s, waits = uplink(), 0.0, []
    for token in range(12):
        sent_and_published(made, 3, token, now_s)
        before = now_s
        while not due(made, [3], now_s):
            now_s += 5.0
        waits.append(now_s - before)
    assert waits[:5] == [10, 20, 40, 80, 160]
    assert set(waits[5:]) == {LONGEST_WAIT_S}


def test_waits_are_spread_so_that_a_fleet_does_not_return_in_step():
    made = uplink(spread=0.999)
    sent_and_published(made, 3, 1, 0.0)
    assert due(made, [3], 12.4) == []
    assert due(made, [3], 12.5) == [3]


def test_what_is_settled_is_forgotten():
    made = uplink()
    made.sent(3, 101, 0.0)
    made.settled(3)
    assert made.outstanding == 0
    assert made.published(101, ok=True, now_s=1.0) is None
    assert made.outstanding == 0


def test_a_broker_that_denies_is_not_hammered():
    made = uplink()
    sent_and_published(made, 3, 101, 0.0, ok=False)
    assert due(made, [3], REFUSED_WAIT_S - 1) == []
    assert due(made, [3], REFUSED_WAIT_S) == [3]


def test_a_temporary_refusal_puts_off_longer_each_time():
    made, now_s = uplink(), 0.0
    for token, wait_s in enumerate([30, 60, 120, 240, 300, 300]):
        sent_and_published(made, 3, token, now_s)
        made.put_off(3, now_s)
        assert due(made, [3], now_s + wait_s - 1) == []
        now_s += wait_s
        assert due(made, [3], now_s) == [3]


def test_a_refusal_that_comes_before_the_broker_s_acknowledgement_still_counts():
    made = uplink()
    made.sent(3, 101, 0.0)
    made.put_off(3, 0.5)
    made.published(101, ok=True, now_s=1.0)
    assert due(made, [3], 29.0) == []
    assert due(made, [3], 31.0) == [3]


def test_with_the_link_what_was_in_flight_is_sent_again_with_the_next_one():
    made = uplink()
    made.sent(3, 101, 0.0)
    sent_and_published(made, 5, 102, 0.0)
    made.lost_link()
    assert due(made, [3, 5], 1.0) == [3]
    assert made.published(101, ok=True, now_s=1.0) is None


def test_a_token_that_is_not_ours_means_nothing():
    assert uplink().published(7, ok=True, now_s=0.0) is None


def test_a_refusal_of_something_never_sent_puts_it_off_too():
    made = uplink()
    made.put_off(3, 0.0)
    assert due(made, [3], 29.0) == []
    assert due(made, [3], 30.0) == [3]
