"""The register of packs: a deterministic replay of the log's acts. The ledger admits by it and a verifier judges by it.

It lives with the formats because both sides must come to the same verdict: the one rule book, applied to the whole log
by the ledger and to a bundle's acts by anybody. It never sees a telemetry body.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evidence import names
from evidence.acts import LEDGER_ACTS, Act, GatewayBind, Heads, KeyBind, PackRegister, Party, Policy, Time
from evidence.errors import EvidenceError, FormatError, SignatureError
from evidence.keys import KeyId, PublicKey, key_id
from evidence.merkle import Digest
from evidence.sign1 import ED25519
from evidence.statement import Statement


class RuleError(EvidenceError):
    """An act or statement that the rules refuse; `rule` is the rule's name."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class KnownParty:
    """A party in the register: its URI, key and the index of the act that admitted it."""

    uri: str
    key: PublicKey
    algorithm: int
    roles: tuple[str, ...]
    index: int


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A key that speaks for (pack, gateway), who bound it and at which index."""

    pack: str
    gateway: str
    key: PublicKey
    algorithm: int
    binder: str
    index: int


@dataclass(slots=True)
class KnownPack:
    """A pack in the register."""

    uri: str
    titleholder: str
    attributes: tuple[tuple[str, str], ...]
    index: int
    strand: Digest
    gateways: dict[str, int] = field(default_factory=dict)


class Register:
    """The state after the acts applied so far. `apply` either changes it or raises; it never does half."""

    def __init__(self, origin: str, ledger_key: PublicKey) -> None:
        self.origin = origin
        self.ledger_key = ledger_key
        self.policy: Policy | None = None
        self.time_ms = 0
        self.parties: dict[str, KnownParty] = {}
        self.packs: dict[str, KnownPack] = {}
        self.keys: dict[KeyId, BoundKey] = {}
        self._used: set[PublicKey] = {ledger_key}

    def apply(self, act: Act, index: int) -> None:
        """Admit `act` as entry `index`: SignatureError or RuleError (with the rule's name) if it may not be."""
        if act.envelope.audience != self.origin:
            raise RuleError("wrong-ledger", f"the act is for {act.envelope.audience}, this ledger is {self.origin}")
        if self.policy is None and act.kind != "policy":
            raise RuleError("no-policy", "the log must begin with its policy")
        if act.kind in LEDGER_ACTS:
            self._ledger_act(act, index)
        elif act.kind == "party":
            self._party(act, index)
        elif act.kind == "pack-register":
            self._pack_register(act, index)
        else:
            self._binding(act, index)

    def check_statement(self, statement: Statement, index: int | None = None) -> BoundKey:
        """The key that `statement` is validly signed by; SignatureError or RuleError if there is none.

        With an `index`, the key must have been bound before it.
        """
        if statement.envelope.audience != self.origin:
            raise RuleError(
                "wrong-ledger",
                f"the statement is for {statement.envelope.audience}, this ledger is {self.origin}",
            )
        bound = self.keys.get(statement.envelope.kid)
        if bound is None:
            known = statement.envelope.subject in self.packs
            rule = "unknown-key" if known else "unknown-pack"
            what = "no key of this kid is bound" if known else f"{statement.envelope.subject} is not registered"
            raise RuleError(rule, what)
        if (statement.envelope.subject, statement.envelope.issuer) != (bound.pack, bound.gateway):
            raise RuleError("wrong-binding", f"the key is bound to {bound.pack} at {bound.gateway}")
        if index is not None and index <= bound.index:
            raise RuleError("before-binding", "the statement is older than the binding of its key")
        statement.message.verify(bound.key, bound.algorithm)
        return bound

    def _ledger_act(self, act: Act, index: int) -> None:
        if act.envelope.issuer != self.origin or act.envelope.subject != self.origin:
            raise RuleError("wrong-issuer", f"a {act.kind} is issued by the ledger about itself")
        if act.envelope.algorithm != ED25519 or act.after is not None:
            raise RuleError("wrong-form", f"a {act.kind} is signed with Ed25519 and follows nothing")
        act.message.verify(self.ledger_key)
        body = act.body
        if isinstance(body, Policy):
            if index != 0 or self.policy is not None:
                raise RuleError("second-policy", "the policy is entry 0 and only that")
            if body.origin != self.origin or body.ledger_key != self.ledger_key:
                raise RuleError("wrong-ledger", "the policy is of another ledger or key")
            self.policy = body
            self._used |= set(body.root_keys)
        elif isinstance(body, Time):
            if body.unix_ms < self.time_ms:
                raise RuleError("time-backwards", f"log time {body.unix_ms} is before {self.time_ms}")
            self.time_ms = body.unix_ms
        elif isinstance(body, Heads) and body.covered > index:
            raise RuleError("heads-ahead", f"heads at index {index} cannot cover {body.covered} entries")

    def _party(self, act: Act, index: int) -> None:
        body = act.body
        policy = self.policy
        if not isinstance(body, Party) or policy is None:
            raise RuleError("no-policy", "a party is admitted under a policy")
        if act.after is not None:
            raise RuleError("wrong-form", "an admission of a party follows nothing")
        self._named(act.envelope.subject, "party")
        if act.envelope.subject in self.parties:
            raise RuleError("party-known", f"{act.envelope.subject} is already a party")
        root = next((key for key in policy.root_keys if key_id(key) == act.envelope.kid), None)
        if root is None or act.envelope.issuer != self.origin:
            raise RuleError("not-root", "a party is admitted by a root key in the ledger's name")
        self._fresh(body.key)
        act.message.verify(root, ED25519)
        self._used.add(body.key)
        uri = act.envelope.subject
        self.parties[uri] = KnownParty(uri, body.key, body.algorithm, body.roles, index)

    def _pack_register(self, act: Act, index: int) -> None:
        body = act.body
        if not isinstance(body, PackRegister):
            raise RuleError("wrong-form", f"{act.kind} is no registration")
        self._named(act.envelope.subject, "pack")
        party = self._signer(act)
        if "maker" not in party.roles:
            raise RuleError("not-maker", f"{party.uri} is not a maker")
        if act.envelope.subject in self.packs:
            raise RuleError("pack-known", f"{act.envelope.subject} is already registered")
        if act.after is not None:
            raise RuleError("stale", "a registration follows nothing")
        uri = act.envelope.subject
        self.packs[uri] = KnownPack(uri, party.uri, body.attributes, index, act.entry)

    def _binding(self, act: Act, index: int) -> None:
        party = self._signer(act)
        pack = self.packs.get(act.envelope.subject)
        if pack is None:
            raise RuleError("unknown-pack", f"{act.envelope.subject} is not registered")
        if party.uri != pack.titleholder:
            raise RuleError("not-titleholder", f"{party.uri} does not hold the title")
        if act.after != pack.strand:
            raise RuleError("stale", f"the pack's strand has moved on to {pack.strand.hex()}")
        body = act.body
        if isinstance(body, GatewayBind):
            self._named(body.gateway, "gw")
            if body.gateway in pack.gateways:
                raise RuleError("gateway-known", f"{body.gateway} is already bound to the pack")
            pack.gateways[body.gateway] = index
        elif isinstance(body, KeyBind):
            if body.gateway not in pack.gateways:
                raise RuleError("unknown-gateway", f"{body.gateway} is not bound to the pack")
            self._fresh(body.key)
            self._used.add(body.key)
            self.keys[key_id(body.key)] = BoundKey(pack.uri, body.gateway, body.key, body.algorithm, party.uri, index)
        pack.strand = act.entry

    def _signer(self, act: Act) -> KnownParty:
        party = self.parties.get(act.envelope.issuer)
        if party is None:
            raise RuleError("unknown-party", f"{act.envelope.issuer} is not a party")
        if act.envelope.kid != key_id(party.key):
            raise SignatureError(f"signed with another key than that of {party.uri}")
        act.message.verify(party.key, party.algorithm)
        return party

    def _named(self, uri: str, kind: str) -> None:
        try:
            registrar, _ = names.parse_uri(uri, kind)
        except FormatError as problem:
            raise RuleError("wrong-name", str(problem)) from None
        if self.policy is None or registrar.authority != self.policy.registrar:
            raise RuleError("wrong-registrar", f"{uri} is not named by this ledger's registrar")

    def _fresh(self, key: PublicKey) -> None:
        """One public key, one binding, ever; and two keys of one kid would make the hint ambiguous."""
        if key in self._used or key_id(key) in self.keys:
            raise RuleError("key-used", f"key {key_id(key).hex()} is already bound")
