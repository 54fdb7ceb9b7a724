"""A tool's risk class and level, by its name, its description and its input schema.

Four looks, each of which can only make a tool worse:

1. the name (`naming`); where it says nothing, the first verb of the description decides alone;
2. the description: the verb it begins with, and words by which authors warn;
3. the input schema: free text that is run as a command, numbers that are money;
4. escape hatches (`escape`).

Annotations such as `readOnlyHint` are shown in the reason and believed in nothing: a server that
wants its tools called would claim what helps.
"""

import re

from toolreeve.policy.catalogue import words as tables
from toolreeve.policy.catalogue.escape import escape_hatch
from toolreeve.policy.catalogue.naming import read_name, verb_class, words_of, worst
from toolreeve.policy.catalogue.schemas import all_types
from toolreeve.policy.catalogue.tool import Classified, Level, RiskClass, Tool, properties_of

DESCRIPTION_CHARACTERS_MAX = 4_096

_WARNING = re.compile(
    r"\b(destructive|irreversibl[ey]|irrevocabl[ey]|unrecoverabl[ey]|(?:cannot|can't|can not) be "
    r"(?:undone|reversed|recovered|restored)|gone for good|for good\b|permanently "
    r"(?:delet|remov|eras|destroy|discard|wip)\w*)",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(?:\bnon|\bnot|\bnever|\bisn't|n't)[\s-]+(?:an?\s+)?$", re.IGNORECASE)
_SECOND_VERB = re.compile(r"\b(?:and|or|then)\s+(?:also\s+|optionally\s+)?([a-z]+)", re.IGNORECASE)
_AMOUNT = frozenset(("amount", "total", "price", "maxprice", "value", "stake", "sum", "budget"))
_SENSITIVE = frozenset(
    """secret secrets password passwords credential credentials token tokens cookie cookies
    keychain vault environment env""".split()  # noqa: SIM905
)
_POWER = frozenset(
    """user users role roles group groups permission permissions policy privilege privileges iam
    firewall security acl chown chmod sudo admin grant grants protection certificate key keys
    secret secrets password token tokens dns cron cronjob ingress mfa owner access""".split()  # noqa: SIM905
)
_MASS = frozenset(
    """all database bucket pool namespace repository repo disk stack bulk wipe tenant account
    cluster volume dataset vm filesystem partition flushall destroy project table""".split()  # noqa: SIM905
)


def classify(tool: Tool) -> Classified:
    """Say what a call of a tool can do at worst, how bad that would be, and why."""
    class_, reasons = _class_of(tool)
    hatch = escape_hatch(tool)
    if hatch is not None:
        if worst(class_, RiskClass.EXECUTE) is not class_:
            class_ = RiskClass.EXECUTE
        reasons.append("escape hatch: " + hatch[0].lower() + hatch[1:].rstrip("."))
    claims = [
        f"{key}={str(value).lower()}"
        for key, value in sorted(tool.annotations.items())
        if key.endswith(("Hint", "only", "Only")) and isinstance(value, bool)
    ]
    if claims:
        reasons.append(f"the server claims {', '.join(claims)}, which is not believed")
    return Classified(
        name=tool.name,
        class_=class_,
        level=_level(tool, class_, hatched=hatch is not None),
        why="; ".join(reasons),
    )


def amount_of(tool: Tool) -> str | None:
    """The property that says how much money a call moves: a number the agent chooses."""
    for name, schema in properties_of(tool.input_schema).items():
        if name.lower().replace("_", "") not in _AMOUNT:
            continue
        if all_types(schema, tool.input_schema) & {"number", "integer"}:
            return name
    return None


def _class_of(tool: Tool) -> tuple[RiskClass, list[str]]:
    description = tool.description[:DESCRIPTION_CHARACTERS_MAX]
    named = read_name(tool.name)
    lead = _lead(description)
    if named is not None:
        class_, reasons = named[0], [f'the name says "{named[1]}"']
    elif lead is not None:
        class_, reasons = lead[0], [tool.stands_for or f'the description begins with "{lead[1]}"']
    else:
        class_, reasons = RiskClass.EXECUTE, ["neither name nor description says what it does"]
    if named is not None and lead is not None and worst(class_, lead[0]) is not class_:
        class_ = lead[0]
        reasons.append(f'the description begins with "{lead[1]}"')
    warning = _warning(description)
    if warning is not None and class_ is not RiskClass.DESTRUCTIVE:
        class_ = RiskClass.DESTRUCTIVE
        reasons.append(f'the description says "{warning}"')
    if class_ in {RiskClass.WRITE, RiskClass.EXECUTE}:
        amount = amount_of(tool)
        said = set(words_of(tool.name)) | set(words_of(description))
        if amount is not None and said & tables.MONEY_NOUNS:
            class_ = RiskClass.FINANCIAL
            reasons.append(f'"{amount}" is an amount of money')
    return class_, reasons


def _lead(description: str) -> tuple[RiskClass, str] | None:
    """The verb that a description begins with, and its class."""
    sentence = re.split(r"[.\n;]", description.strip(), maxsplit=1)[0]
    words = words_of(sentence)
    if not words:
        return None
    if words[0] in tables.READ_NOUNS:
        return RiskClass.READ, words[0]
    if words[1:2] == ["of"]:
        return None  # "Commits of a branch": a noun
    for stem in _stems(words[0]):
        found = verb_class(stem, words) or tables.LEADING_VERBS.get(stem)
        if found is not None:
            return found, words[0]
    return None


def _warning(description: str) -> str | None:
    """Words by which a description tells of a loss, unless they are denied."""
    for found in _WARNING.finditer(description):
        if _NEGATED.search(description[: found.start()]) is None:
            return found.group(0).lower()
    for found in _SECOND_VERB.finditer(description):
        for stem in _stems(found.group(1).lower()):
            if tables.VERBS.get(stem) is RiskClass.DESTRUCTIVE:
                return found.group(0).lower()
    return None


def _stems(word: str) -> list[str]:
    """A word and what it may be a form of: `copies`, `deletes`, `removing`."""
    found = [word]
    if word.endswith("ies"):
        found.append(word[:-3] + "y")
    if word.endswith("es"):
        found.append(word[:-2])
    if word.endswith("s"):
        found.append(word[:-1])
    if word.endswith("ing"):
        found += [word[:-3], word[:-3] + "e", word[:-4]]
    return found


def _level(tool: Tool, class_: RiskClass, *, hatched: bool) -> Level:
    words = set(words_of(tool.name))
    match class_:
        case RiskClass.READ:
            return Level.MEDIUM if words & _SENSITIVE else Level.LOW
        case RiskClass.WRITE:
            return Level.HIGH if words & _POWER else Level.MEDIUM
        case RiskClass.EXECUTE:
            return Level.CRITICAL if hatched else Level.HIGH
        case RiskClass.FINANCIAL:
            return Level.CRITICAL if amount_of(tool) is not None else Level.HIGH
        case RiskClass.DESTRUCTIVE:
            return Level.CRITICAL if words & _MASS else Level.HIGH
