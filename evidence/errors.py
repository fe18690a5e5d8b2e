"""The errors of evidence, by what is wrong with the bytes.

EvidenceError
├── FormatError     not a value of our strict profile: malformed, not canonical, out of bounds
├── SignatureError  well formed, but no valid signature of the expected key
├── ProofError      a path, root or checkpoint does not prove what it should
└── ChainError      a statement does not follow its predecessor
"""


class EvidenceError(Exception):
    """What was offered is not evidence of what it claims."""


class FormatError(EvidenceError):
    """The one error of every parser here: these bytes are not a value of the format."""


class SignatureError(EvidenceError):
    """The signature is not one of the expected key over these bytes."""


class ProofError(EvidenceError):
    """The Merkle path, root or checkpoint does not prove the claim."""


class ChainError(EvidenceError):
    """The statement does not follow from its predecessor in the chain."""
