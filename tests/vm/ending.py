"""How a run is ended from outside: by Ctrl-C, by SIGTERM, by a terminal that goes away. What it started ends with it."""

import signal
from contextlib import contextmanager

from tests.vm import tools

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """The run was ended by a signal, of this number."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def orderly():
    """Within it the first signal ends the commands that run and raises Ended; further ones do not disturb the tidying up."""

    def end(number, _):
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        tools.stop()
        raise Ended(number)

    tools.ended.clear()
    heeded = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, end) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
