"""The jobs below guest/ run inside the machine (`make vm-test`), never on the host."""

collect_ignore = ["guest"]
