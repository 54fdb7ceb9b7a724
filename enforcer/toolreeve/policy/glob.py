"""Which names a pattern stands for: `*` any run of characters, `?` any one."""


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is what `pattern` says.

    Takes at most `len(pattern) * len(name)` steps: on a mismatch only the last `*` takes one
    character more.
    """
    at_pattern = at_name = 0
    star = -1
    star_name = 0
    while at_name < len(name):
        wanted = pattern[at_pattern] if at_pattern < len(pattern) else ""
        if wanted == "*":
            star, star_name = at_pattern, at_name
            at_pattern += 1
        elif wanted in {"?", name[at_name]}:
            at_pattern += 1
            at_name += 1
        elif star >= 0:
            star_name += 1
            at_pattern, at_name = star + 1, star_name
        else:
            return False
    return all(left == "*" for left in pattern[at_pattern:])


def literal_prefix(pattern: str) -> str:
    """What stands before the first `*` or `?`: the longer, the more specific the pattern."""
    ends = [place for mark in "*?" if (place := pattern.find(mark)) >= 0]
    return pattern[: min(ends, default=len(pattern))]
