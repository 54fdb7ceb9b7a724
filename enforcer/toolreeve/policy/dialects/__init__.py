"""Policies written for other products, read into ours with a report of what changes.

PolicyLayer's hosted JSON is a part of our own language. Its FAQ form and the YAML of Intercept,
its open-source proxy, are translated: what cannot be said is an error with its place, and what
comes to mean something else is a difference.
"""

from toolreeve.policy.dialects.importing import DIALECTS, Imported, detect, import_policy
from toolreeve.policy.dialects.outcome import Difference

__all__ = ["DIALECTS", "Difference", "Imported", "detect", "import_policy"]
