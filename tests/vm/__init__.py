"""Tests on a kernel of our own: a small Debian arm64 machine, emulated, with CAN and systemd (`make vm-test`).

The host's side is plain standard library and runs before any environment exists; what runs inside lies in guest/.
"""

import sys

# As a program it often runs by sudo: compiled files in a checkout that is somebody else's would be root's.
if sys.argv[0] == "-m":
    sys.dont_write_bytecode = True
