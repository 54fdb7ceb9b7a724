"""A policy made ready for the hot path, once per revision."""

from collections.abc import Callable
from functools import lru_cache

from toolreeve.decision.rule import (
    CompiledRule,
    Ruling,
    compile_common,
    compile_rule,
    default_denied,
    ruling_on,
)
from toolreeve.decision.verdict import Code, Verdict, refusal
from toolreeve.policy import Action, Default, Dispatch, Mode, OnStale, Policy
from toolreeve.policy.glob import literal_prefix, matches
from toolreeve.policy.model import CLASS_PREFIX, is_class, is_glob

LOOKUPS_MAX = 4096


class Rulings(dict[str, Ruling | Verdict]):
    """What is said of each tool, found when the tool is first called.

    Emptied when it is full, which takes names that nobody gave: then all are found again.
    """

    def __init__(self, find: Callable[[str], Ruling | Verdict]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, tool: str) -> Ruling | Verdict:
        if len(self) >= LOOKUPS_MAX:
            self.clear()
        ruling = self[tool] = self._find(tool)
        return ruling


class CompiledPolicy:
    """Answers which rule holds for a tool in the time of one dictionary look-up."""

    def __init__(self, policy: Policy, class_of: Callable[[str], str]) -> None:
        self.policy = policy
        self.revision = policy.revision
        self.default = policy.default
        self.mode = policy.mode
        self.stale_after_ns = policy.stale_after_ns
        self.class_of = class_of
        self._dispatch = {entry.wire_tool: entry for entry in policy.dispatch}
        self._methods = dict(policy.methods)
        common = compile_common(policy.all_tools)
        rules = [compile_rule(rule, common, policy.mode) for rule in policy.tools]
        self._exact: dict[str, CompiledRule] = {}
        self._classes: dict[str, CompiledRule] = {}
        globs: list[tuple[str, CompiledRule]] = []
        for rule, compiled in zip(policy.tools, rules, strict=True):
            if is_class(rule.pattern):
                self._classes[rule.pattern.removeprefix(CLASS_PREFIX)] = compiled
            elif is_glob(rule.pattern):
                globs.append((rule.pattern, compiled))
            else:
                self._exact[rule.pattern] = compiled
        self._globs = sorted(
            globs, key=lambda glob: (-len(literal_prefix(glob[0])), -len(glob[0]), glob[0])
        )
        allows = policy.default is Default.ALLOW
        self._unlisted = compile_rule(None, common, policy.mode) if allows else None
        self._hidden = frozenset(pattern for pattern in policy.hide if not is_glob(pattern))
        self._hidden_globs = tuple(pattern for pattern in policy.hide if is_glob(pattern))
        self.rule_for = lru_cache(maxsize=LOOKUPS_MAX)(self._rule_for)
        self.hides = lru_cache(maxsize=LOOKUPS_MAX)(self._hides)
        self.rulings = Rulings(self._ruling)

    def dispatch_of(self, wire_tool: str) -> Dispatch | None:
        """How a wire tool names its operation; None for a tool that is its own operation."""
        return self._dispatch.get(wire_tool)

    def method(self, method: str) -> Default:
        """Whether a request that is no tool call may pass."""
        return self._methods.get(method, self.default)

    def matching(self, tool: str) -> list[CompiledRule]:
        """Every rule that speaks of a tool, the most specific first.

        The exact name, then globs by the length of what stands before their first wildcard, then
        by their own length and their letters: never by their order in the document, which is no
        part of a revision. A risk class speaks only of tools that nothing else names.
        """
        found = [compiled for glob, compiled in self._globs if matches(glob, tool)]
        exact = self._exact.get(tool)
        if exact is not None:
            found.insert(0, exact)
        if not found and self._classes:
            of_class = self._classes.get(self.class_of(tool))
            if of_class is not None:
                found.append(of_class)
        return found

    def may_call(self, tool: str) -> bool:
        """Whether calls of an effective tool can get through, conditions and limits aside."""
        if self.hides(tool):
            return self.mode is not Mode.ENFORCE
        rule = self.rule_for(tool)
        if rule is None:
            return self.mode is not Mode.ENFORCE
        return rule.action is not Action.DENY or rule.mode is not Mode.ENFORCE

    def denies(self, tool: str) -> bool:
        """Whether a rule denies an effective tool outright, and is carried out."""
        rule = self.rule_for(tool)
        return rule is not None and rule.action is Action.DENY and rule.mode is Mode.ENFORCE

    def _hides(self, tool: str) -> bool:
        return tool in self._hidden or any(matches(glob, tool) for glob in self._hidden_globs)

    def _rule_for(self, tool: str) -> CompiledRule | None:
        """The rule that holds for an effective tool; None where the default denies it.

        A rule that denies beats one that allows, however specific; then the most specific wins.
        """
        rules = self.matching(tool)
        denying = (rule for rule in rules if rule.action is Action.DENY)
        return next(denying, rules[0] if rules else self._unlisted)

    def _ruling(self, tool: str) -> Ruling | Verdict:
        """What is said of an effective tool, whatever its arguments are."""
        if self.hides(tool):
            return refusal(Code.HIDDEN, self.mode, rule="/hide")
        rule = self.rule_for(tool)
        return default_denied(tool, self.mode) if rule is None else ruling_on(tool, rule)


def compile_policy(policy: Policy, class_of: Callable[[str], str] | None = None) -> CompiledPolicy:
    """Make a policy ready to decide by.

    `class_of` gives the risk class of an effective tool by its name, for rules over classes.
    """
    if class_of is None and _asks_for_classes(policy):
        # Most policies speak of no class, and what judges names by their words is a large room.
        from toolreeve.policy.catalogue import class_of_name  # noqa: PLC0415

        class_of = class_of_name
    return CompiledPolicy(policy, class_of or _unclassified)


def _unclassified(tool: str) -> str:
    raise AssertionError(f"no rule speaks of a class, and {tool} was asked for its own")


def _asks_for_classes(policy: Policy) -> bool:
    by_class = any(is_class(rule.pattern) for rule in policy.tools)
    return by_class or policy.on_stale is OnStale.DENY_WRITES
