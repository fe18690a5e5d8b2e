"""A time server on this machine (SNTP, RFC 4330), so that network time can arrive when a test wants it to."""

import socket
import struct
import threading
import time

NTP_EPOCH_S = 2_208_988_800  # from 1900 to 1970
REPLY = 0x24  # no leap second, version 4, server


class TimeServer:
    """Says that it was `unix_s` when it was made, and counts on by a clock that no step of the machine's moves."""

    def __init__(self, unix_s):
        self._offset_s = unix_s - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.asked = 0

    def now(self):
        """Its time, Unix seconds."""
        return self._offset_s + time.clock_gettime(time.CLOCK_BOOTTIME)

    def at(self, boot_ms):
        """Its time at a moment of the boot clock, Unix ms."""
        return self._offset_s * 1000 + boot_ms

    def __enter__(self):
        self._socket.bind(("127.0.0.1", 123))
        self._socket.settimeout(0.2)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._thread.join(5)

    def _serve(self):
        while self._socket.fileno() >= 0:
            try:
                request, peer = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            except OSError:
                return
            if len(request) >= 48:
                self.asked += 1
                self._socket.sendto(self._reply(request), peer)

    def _reply(self, request):
        now = _timestamp(self.now())
        head = struct.pack(">BBbbII4s", REPLY, 1, 4, -20, 0, 0, b"TEST")
        return head + now + request[40:48] + now + now


def _timestamp(unix_s):
    """64 bits of NTP: seconds since 1900 and their fraction."""
    return struct.pack(">Q", round((unix_s + NTP_EPOCH_S) * (1 << 32)))
