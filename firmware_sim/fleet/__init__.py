"""A load for a ledger: statements of thousands of gateways, signed by a generator that says that it is one.

No pack is simulated for these statements. What they say comes from a small library of windows of a few packs that were
simulated once; packs and gateways are called sim-..., and every epoch's first statement names this program as its
software. The signatures, chains, segment documents and proofs are real.
"""
