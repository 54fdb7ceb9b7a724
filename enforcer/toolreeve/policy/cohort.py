"""Who belongs to a stage of a rollout, in words that an enforcer can check about itself.

A cohort stands in the signed manifest, so nobody on the way can widen it: an enforcer that is not
in it refuses the manifest. Named labels come first, then a share of everybody: each enforcer falls
into one of `BUCKETS` by a hash of its name, and those below a bound belong. Under the same salt a
higher bound only ever adds.
"""

import re
from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

BUCKETS = 1 << 32
WHOLE = 10_000
"""All enforcers, in basis points."""

_WORD = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_TEXT = re.compile(r"below:(0|[1-9][0-9]{0,9}) salt:([A-Za-z0-9_./-]{1,64})((?: canary:[^ ]+)*)")
CANARIES_MAX = 16


class CohortTextError(ValueError):
    """A text is not a cohort in its one canonical form."""


class Cohort(Struct, frozen=True, kw_only=True):
    """Enforcers with one of the `canary` labels, and those whose bucket lies below `below`."""

    salt: str
    below: int
    canary: tuple[tuple[str, str], ...] = ()

    def includes(self, enforcer_id: str, labels: Mapping[str, str]) -> bool:
        """Whether an enforcer of this name with these labels belongs."""
        if any(labels.get(name) == value for name, value in self.canary):
            return True
        return bucket_of(self.salt, enforcer_id) < self.below

    @property
    def text(self) -> str:
        """As it stands in a manifest: `below:42949672 salt:rollout-7 canary:site=lab`."""
        named = "".join(f" canary:{name}={value}" for name, value in self.canary)
        return f"below:{self.below} salt:{self.salt}{named}"

    @classmethod
    def parse(cls, text: str) -> "Cohort":
        """Read what `text` wrote, and nothing else. Raises CohortTextError."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise CohortTextError(f"{text!r} is not a cohort")
        pairs = [word.removeprefix("canary:").partition("=") for word in found[3].split()]
        canary = tuple((name, value) for name, _, value in pairs)
        cohort = cls(salt=found[2], below=int(found[1]), canary=canary)
        if cohort.text != text or cohort.problem():
            raise CohortTextError(f"{text!r} is not a cohort: {cohort.problem()}")
        return cohort

    def problem(self) -> str:
        """What keeps this from being said in a manifest; empty where nothing does."""
        if not 0 <= self.below <= BUCKETS:
            return f"the bound is not between 0 and {BUCKETS}"
        if len(self.canary) > CANARIES_MAX:
            return f"more than {CANARIES_MAX} labels"
        if list(self.canary) != sorted(set(self.canary)):
            return "labels are sorted and stand once"
        words = [self.salt, *(word for pair in self.canary for word in pair)]
        if not all(map(_WORD.fullmatch, words)):
            return "a label is made of 1 to 64 letters, digits, dots, hyphens, _ and /"
        return ""


def bucket_of(salt: str, enforcer_id: str) -> int:
    """Where an enforcer falls: 0 to `BUCKETS` - 1, and nobody can choose where but by its name."""
    return int.from_bytes(sha256(f"{salt}\n{enforcer_id}".encode()).digest()[:4])


def bound_of(basis_points: int) -> int:
    """The bound below which that share of all buckets lies."""
    return BUCKETS * basis_points // WHOLE
