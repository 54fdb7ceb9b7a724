"""What tools do at worst, and the rules that follow: classify, expand, recommend.

Pure and deterministic. A tool is judged by its name, its description and its input schema; what
a server claims in annotations is shown and never believed.
"""

from toolreeve.policy.catalogue.classify import classify
from toolreeve.policy.catalogue.escape import escape_hatch
from toolreeve.policy.catalogue.expand import Expanded, expand, is_meta
from toolreeve.policy.catalogue.naming import class_of_name
from toolreeve.policy.catalogue.recommend import Recommendation, recommend
from toolreeve.policy.catalogue.tool import Classified, Level, RiskClass, Tool

__all__ = [
    "Classified",
    "Expanded",
    "Level",
    "Recommendation",
    "RiskClass",
    "Tool",
    "class_of_name",
    "classify",
    "escape_hatch",
    "expand",
    "is_meta",
    "recommend",
]
