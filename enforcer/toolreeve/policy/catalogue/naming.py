"""A tool's class by its name alone: total, deterministic and without any look at the rest.

The name is split into words (`vm_restart`, `restartVM` and `vm.restart` are the same two), and
then, first rule that holds:

1. a word that destroys anywhere makes it destructive;
2. where the first verb is one that only reads (`get`, `show`, ...) and nothing follows with
   `and` or `or`, it reads: verbs after it are nouns;
3. the worst of its verbs; where there is none, the worst of the nouns that may be verbs
   (`run`, `order`), unless a noun of reading (`status`, `history`) ends the name;
4. what changes or starts something and names money (`payment`, `invoice`) is financial;
5. a name that says nothing is taken to execute.
"""

import re
import unicodedata

from toolreeve.policy.catalogue import words as tables
from toolreeve.policy.catalogue.tool import RiskClass

NAME_CHARACTERS_MAX = 1_024
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_ORDER = list(RiskClass)


def class_of_name(name: str) -> str:
    """The risk class of an effective tool, by its name alone: "read", ..., "destructive"."""
    found = read_name(name)
    return (RiskClass.EXECUTE if found is None else found[0]).value


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case."""
    plain = unicodedata.normalize("NFKC", name[:NAME_CHARACTERS_MAX])
    return [word.lower() for word in _WORD.findall(plain)]


def worst(*classes: RiskClass) -> RiskClass:
    """The worst of some classes."""
    return max(classes, key=_ORDER.index)


def read_name(name: str) -> tuple[RiskClass, str] | None:
    """A name's class and the word that says so; None where the name says nothing."""
    words = words_of(name)
    verbs = [(word, found) for word in words if (found := verb_class(word, words)) is not None]
    for word, found in verbs:
        if found is RiskClass.DESTRUCTIVE:
            return found, word
    if verbs and verbs[0][0] in tables.STRICT_READS and not tables.CONJUNCTIONS & set(words):
        return RiskClass.READ, verbs[0][0]
    if not verbs and words and words[-1] in tables.READ_NOUNS:
        return RiskClass.READ, words[-1]
    if not verbs:
        verbs = [(word, found) for word in words if (found := _noun(word, words)) is not None]
    if not verbs:
        return None
    word, found = max(verbs, key=lambda verb: _ORDER.index(verb[1]))
    if found in {RiskClass.WRITE, RiskClass.EXECUTE}:
        money = next((noun for noun in words if _is_money(noun, words)), None)
        if money is not None:
            return RiskClass.FINANCIAL, f"{word} {money}"
    return found, word


def verb_class(word: str, words: list[str]) -> RiskClass | None:
    """The class of a verb among the words it stands with; None for a word that is no verb."""
    if word in tables.SURE_BY_OBJECT:
        return _by_object(word, words)
    found = tables.VERBS.get(word)
    if found is None and word not in tables.NOT_DESTRUCTIVE and _destroys(word):
        return RiskClass.DESTRUCTIVE
    return found


def _destroys(word: str) -> bool:
    """Whether words run together hold one that destroys, as in `deletefile`."""
    return word.startswith(tables.GLUED_DESTRUCTIVE) or word.endswith(tables.GLUED_DESTRUCTIVE)


def _noun(word: str, words: list[str]) -> RiskClass | None:
    if word in tables.BY_OBJECT:
        return _by_object(word, words)
    if word == words[0] and word in tables.LEADING_VERBS:
        return tables.LEADING_VERBS[word]
    return tables.NOUNS.get(word)


def _by_object(verb: str, words: list[str]) -> RiskClass:
    default, rows = tables.BY_OBJECT[verb]
    return next((found for found, objects in rows if objects & set(words)), default)


def _is_money(word: str, words: list[str]) -> bool:
    if word not in tables.MONEY_NOUNS:
        return False
    before = words[words.index(word) - 1] if words.index(word) else ""
    return before not in tables.NOT_MONEY_BEFORE_ORDER
