"""Tests on a kernel of our own: a small Debian arm64 machine, emulated, with CAN and systemd (`make vm-test`).

The host's side is plain standard library and runs before any environment exists; what runs inside lies in guest/.
"""
