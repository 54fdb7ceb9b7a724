"""What the calls of one enforcer have shown of a revision that is being rolled out."""

from msgspec import Struct
from msgspec.structs import replace


class Evidence(Struct, frozen=True, kw_only=True):
    """Counted since the enforcer took the revision up, in this epoch of its history.

    That there is evidence at all says that the revision was received and verified; `activated`
    that it decides calls; `first_decision` is the id of the first event that it decided.
    `errors` are conditions that could not be evaluated, where the revision before could.
    `pairs` are calls that both revisions were asked about: of those, `tightened` were denied by the
    new one alone, `loosened` by the old one alone.
    """

    rollout: str
    server: str
    revision: str
    activated: bool = False
    first_decision: str = ""
    decisions: int = 0
    denials: int = 0
    errors: int = 0
    pairs: int = 0
    tightened: int = 0
    loosened: int = 0

    @property
    def plausible(self) -> bool:
        """Whether the counts can be those of calls."""
        counts = (self.denials, self.errors, self.pairs, self.tightened, self.loosened)
        return (
            all(0 <= count <= self.decisions for count in counts)
            and self.tightened + self.loosened <= self.pairs
            and self.tightened <= self.denials
        )

    @property
    def signs(self) -> tuple[bool, str, int, int, int]:
        """What must be told soon when it changes: calls pass by the thousand, these do not.

        Of what speaks against a revision that is the first call, and then each doubling.
        """
        against = (self.errors, self.tightened, self.loosened)
        errors, tightened, loosened = (count.bit_length() for count in against)
        return self.activated, self.first_decision, errors, tightened, loosened

    def joined(self, other: "Evidence") -> "Evidence":
        """What both say, of the same enforcer and epoch: counts only rise, so the later wins."""
        return replace(
            self,
            activated=self.activated or other.activated,
            first_decision=self.first_decision or other.first_decision,
            decisions=max(self.decisions, other.decisions),
            denials=max(self.denials, other.denials),
            errors=max(self.errors, other.errors),
            pairs=max(self.pairs, other.pairs),
            tightened=max(self.tightened, other.tightened),
            loosened=max(self.loosened, other.loosened),
        )
