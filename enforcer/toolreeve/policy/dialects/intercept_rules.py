"""The rules of one tool in Intercept's YAML."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolreeve.policy import keys
from toolreeve.policy.dialects.intercept_conditions import Bound, ConditionReader
from toolreeve.policy.dialects.outcome import Draft, max_calls
from toolreeve.policy.reader import kind_of
from toolreeve.policy.text import Path

TOOL_KEYS = ("rules",)
RULE_KEYS = (
    "name",
    "action",
    "rate_limit",
    "conditions",
    "on_deny",
    "reason",
    "state",
    "approval_timeout",
)
STATE_KEYS = ("counter", "window", "increment", "increment_from")
ACTIONS = ("evaluate", "deny", "require_approval")
EVERY = "*"
EVERY_SCOPE = "_global"

_RATE = re.compile(r"([1-9][0-9]{0,17})/(minute|hour|day)")
_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")

COUNTED_HERE = (
    "each enforcer counts for itself",
    "proxies of Intercept could share one store, and then counted together",
)
NOT_LISTED = (
    "the tool is left out of tools/list, besides being refused",
    "a denied tool was still shown to the agent there",
)
AMOUNTS = (
    "fractions count in full, and an amount below 0 refuses the call",
    "amounts were cut to whole numbers there, and a negative one gave quota back",
)
NEVER_COUNTED = (
    "the counter is left out",
    "a state block counts nothing there without lt or lte on its own counter in the same rule",
)
ALWAYS_APPROVED = (
    "every call needs an approval",
    "an approval cannot depend on conditions here; write deny_if for what may never pass",
)
APPROVAL_TIME = (
    "an approval may take 10 minutes",
    "the rule does not say how long it may take, and Intercept's settings are not read",
)


class Rules(Struct):
    """What the rules of one tool come to.

    `denied` is what the agent reads where a rule denies every call. `texts` are those of limits,
    which have none of their own here.
    """

    require: list[object]
    limits: list[object]
    texts: list[str]
    denied: str | None = None
    approval: dict[str, object] | None = None


def read_rules(draft: Draft, entry: object, tool: str) -> Rules:
    """Read the entry of one tool, or of `"*"`."""
    path: Path = ("tools", tool)
    reader = _RuleReader(draft, EVERY_SCOPE if tool == EVERY else tool)
    if entry is None:  # `name:` and nothing else lists a tool
        return reader.rules
    members = draft.reader.mapping(entry, path, TOOL_KEYS)
    listed: object = members["rules"] if _given(members, "rules") else []
    for item, place in draft.reader.items(listed, (*path, "rules"), most=keys.CONDITIONS_MAX):
        rule = draft.reader.mapping(item, place, RULE_KEYS)
        if isinstance(item, dict):
            reader.add(rule, place)
    return reader.rules


def _given(members: Mapping[str, object], key: str) -> bool:
    """Whether a key is there with a value; Intercept takes an empty one for none."""
    return members.get(key) not in (None, "", [])


class _RuleReader:
    """Reads one rule after the other. Counters are named `<scope>.<counter>`, as they were."""

    def __init__(self, draft: Draft, scope: str) -> None:
        self.rules = Rules(require=[], limits=[], texts=[])
        self._draft = draft
        self._scope = scope
        self._counters: set[str] = set()

    def add(self, rule: dict[str, object], path: Path) -> None:
        """Add what one rule says."""
        self._contradictions(rule, path)
        draft = self._draft
        key = "on_deny" if _given(rule, "on_deny") else "reason"
        text = draft.line(rule[key], (*path, key)) if _given(rule, key) else None
        name = draft.line(rule["name"], (*path, "name")) if _given(rule, "name") else None
        refusal = text or (f'Denied by rule "{name}"' if name else None)
        action: object = rule["action"] if _given(rule, "action") else "evaluate"
        match draft.reader.choice(action, (*path, "action"), ACTIONS):
            case "deny":
                if self.rules.denied is None:
                    self.rules.denied = refusal or "Denied by the policy."
                    draft.note(path, NOT_LISTED)
            case "require_approval":
                self._add_approval(rule, path, text)
            case "evaluate" if _given(rule, "rate_limit"):
                self._add_rate(rule["rate_limit"], (*path, "rate_limit"))
                self.rules.texts += [text] if text else []
            case "evaluate":
                self._add_evaluation(rule, path, refusal)
                self.rules.texts += [text] if text and _given(rule, "state") else []
            case _:
                pass

    def _contradictions(self, rule: dict[str, object], path: Path) -> None:
        """Complain of keys that cannot stand together."""
        action = rule.get("action")
        pairs = [("on_deny", "reason"), ("rate_limit", "conditions"), ("rate_limit", "state")]
        for one, other in pairs:
            if _given(rule, one) and _given(rule, other):
                remedy = "write two rules" if one == "rate_limit" else f'remove "{other}"'
                problem = f'"{other}" stands beside "{one}"'
                self._draft.reader.complain((*path, other), problem, remedy)
        beside = {"deny": ("conditions", "rate_limit"), "require_approval": ("rate_limit", "state")}
        for key in beside.get(action, ()) if isinstance(action, str) else ():
            if _given(rule, key):
                remedy = f"write {key} in a rule of its own, or remove it"
                problem = f'"{key}" stands beside action: {action}'
                self._draft.reader.complain((*path, key), problem, remedy)
        if _given(rule, "approval_timeout") and action != "require_approval":
            remedy = 'add action: require_approval, or remove "approval_timeout"'
            place = (*path, "approval_timeout")
            self._draft.reader.complain(place, "nothing here asks for an approval", remedy)

    def _add_approval(self, rule: dict[str, object], path: Path, text: str | None) -> None:
        approval: dict[str, object] = {"reason": text} if text else {}
        if _given(rule, "conditions"):
            self._draft.note((*path, "conditions"), ALWAYS_APPROVED)
        if _given(rule, "approval_timeout"):
            place = (*path, "approval_timeout")
            timeout = _duration(self._draft, rule["approval_timeout"], place)
            approval["approval"] = {"timeout": timeout}
        else:
            self._draft.note(path, APPROVAL_TIME)
        self.rules.approval = self.rules.approval or approval

    def _add_rate(self, value: object, path: Path) -> None:
        """`5/hour`."""
        found = _RATE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            shown = f'"{value}"' if isinstance(value, str) else kind_of(value)
            remedy = 'write "5/minute", "5/hour" or "5/day"'
            self._draft.reader.complain(path, f"{shown} is not a rate", remedy)
            return
        count = max_calls(self._draft, int(found[1]), path)
        limit = self._limit(f"_rate_{found[2]}", found[2], path)
        self.rules.limits.append({**limit, "max": count})

    def _limit(self, counter: str, window: str, path: Path) -> dict[str, object]:
        if counter in self._counters:
            problem = f'two rules of one tool count in "{counter}"'
            remedy = "give one of them another window or counter"
            self._draft.reader.complain(path, problem, remedy)
        self._counters.add(counter)
        self._draft.note(path, COUNTED_HERE, once=True)
        return {
            "counter": f"{self._scope}.{counter}",
            "window": window,
            "scope": "server",
            "align": "calendar",
            "refund_on": list(keys.REFUNDS),
        }

    def _add_evaluation(self, rule: dict[str, object], path: Path, refusal: str | None) -> None:
        """Conditions that must hold, and a counter with its bound."""
        reader = self._draft.reader
        state: dict[str, object] = {}
        if rule.get("state") is not None:
            state = reader.mapping(rule["state"], (*path, "state"), STATE_KEYS)
        own = f"state.{self._scope}.{state.get('counter')}" if state else None
        listed: object = rule["conditions"] if _given(rule, "conditions") else []
        if listed == []:
            remedy = "add a condition, rate_limit, or action: deny"
            reader.complain(path, "the rule checks nothing", remedy)
        conditions = ConditionReader(self._draft, own)
        for item, spot in reader.items(listed, (*path, "conditions"), most=keys.CONDITIONS_MAX):
            conditions.add(item, spot)
        if conditions.found:
            clause: dict[str, object] = {"conditions": conditions.found}
            self.rules.require.append(clause | ({"on_deny": refusal} if refusal else {}))
        if state:
            self._add_counter(state, conditions.bounds, (*path, "state"))

    def _add_counter(self, state: dict[str, object], bounds: Sequence[Bound], path: Path) -> None:
        reader = self._draft.reader
        for key in ("counter", "window"):
            if key not in state:
                reader.missing(path, key, f"add {key}")
        counter = reader.name(state["counter"], (*path, "counter")) if "counter" in state else None
        window = None
        if "window" in state:
            window = reader.choice(state["window"], (*path, "window"), tuple(keys.WINDOWS))
        if counter is None or window is None:
            return
        if not bounds:
            self._draft.note(path, NEVER_COUNTED)
            return
        for more in bounds[1:]:
            reader.complain(more.path, "a counter has one bound", "keep the lower one")
        limit = self._limit(counter, window, path)
        most = max(0, bounds[0].most)
        if _given(state, "increment_from"):
            spot = (*path, "increment_from")
            conditions = ConditionReader(self._draft, None)
            limit |= {"max": most, "amount": conditions.pointer(state["increment_from"], spot)}
            self._draft.note(spot, AMOUNTS)
            if most > keys.MAXIMUM_MAX:
                remedy = f"write at most {keys.MAXIMUM_MAX}"
                problem = f"{most} is more than one limit counts"
                reader.complain(bounds[0].path, problem, remedy)
        else:
            step = 1
            if _given(state, "increment") and state["increment"] != 0:
                spot = (*path, "increment")
                step = reader.integer(state["increment"], spot, 1, keys.MAXIMUM_MAX) or 1
            limit["max"] = max_calls(self._draft, most // step, bounds[0].path)
        self.rules.limits.append(limit)


def _duration(draft: Draft, value: object, path: Path) -> str | None:
    """A length of time as Go writes it, `1h30m`, in ours."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    hours, minutes, seconds = (int(part or 0) for part in (found.groups() if found else (0, 0, 0)))
    whole = hours * 3_600 + minutes * 60 + seconds
    if not 0 < whole <= keys.APPROVAL_SECONDS_MAX:
        remedy = 'write "90s", "10m" or "1h30m", at most 30 days'
        draft.reader.complain(path, "not a length of time", remedy)
        return None
    for letter, length in (("h", 3_600), ("m", 60)):
        if whole % length == 0:
            return f"{whole // length}{letter}"
    return f"{whole}s"
