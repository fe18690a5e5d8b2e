"""Whatever link, broker and ledger do: nothing is forgotten or sent twice at once, and what is settled leaves no trace."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.uplink import LONGEST_WAIT_S, Uplink

LONGEST_PAUSE_S = LONGEST_WAIT_S * 1.25


class UplinkMachine(RuleBasedStateMachine):
    """The model: the rows that wait in the store, and the tokens that the link has taken and not answered."""

    def __init__(self):
        super().__init__()
        self.uplink = Uplink(10.0, lambda: 0.5)
        self.now_s = 0.0
        self.rows = 0
        self.waiting = []
        self.in_flight = {}
        self.tokens = 0

    def due(self):
        return list(self.uplink.due(self.waiting, self.now_s))

    @rule(count=st.integers(1, 5))
    def something_is_sealed(self, count):
        self.waiting += range(self.rows, self.rows + count)
        self.rows += count

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds):
        self.now_s += seconds

    @rule(window=st.integers(1, 20))
    def what_is_due_is_sent(self, window):
        for row in self.due()[:window]:
            assert row not in self.in_flight.values()
            self.tokens += 1
            self.uplink.sent(row, self.tokens, self.now_s)
            self.in_flight[self.tokens] = row

    @precondition(lambda self: self.in_flight)
    @rule(chance=st.randoms(use_true_random=False), ok=st.booleans())
    def the_broker_answers(self, chance, ok):
        token = chance.choice(sorted(self.in_flight))
        row = self.in_flight.pop(token)
        assert self.uplink.published(token, ok=ok, now_s=self.now_s) == (row if row in self.waiting else None)

    @precondition(lambda self: self.waiting)
    @rule(chance=st.randoms(use_true_random=False))
    def the_ledger_proves(self, chance):
        row = chance.choice(self.waiting)
        self.waiting.remove(row)
        self.uplink.settled(row)
        assert row not in self.due()

    @precondition(lambda self: self.waiting)
    @rule(chance=st.randoms(use_true_random=False))
    def the_ledger_refuses_for_now(self, chance):
        row = chance.choice(self.waiting)
        self.uplink.put_off(row, self.now_s)
        assert row not in self.due()

    @rule()
    def the_link_is_lost(self):
        self.uplink.lost_link()
        in_flight = set(self.in_flight.values()) & set(self.waiting)
        self.in_flight.clear()
        assert in_flight <= set(self.due())

    @invariant()
    def whatever_waits_is_in_flight_or_due_within_the_longest_pause(self):
        later = set(self.uplink.due(self.waiting, self.now_s + LONGEST_PAUSE_S))
        assert set(self.waiting) == later | (set(self.in_flight.values()) & set(self.waiting))

    @invariant()
    def what_is_due_keeps_its_order(self):
        assert self.due() == sorted(self.due())

    @invariant()
    def nothing_is_remembered_of_what_is_settled(self):
        assert self.uplink.outstanding <= len(self.waiting)


UplinkMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestUplink = UplinkMachine.TestCase
