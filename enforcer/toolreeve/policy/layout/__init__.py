"""The canonical layout of a policy's text. It never changes what the policy means."""

from toolreeve.policy.layout.json_text import write_json
from toolreeve.policy.layout.tidy import LayoutError, tidy

__all__ = ["LayoutError", "tidy", "write_json"]
