"""Names of a server's tools that a person who reads a policy can take for one another."""

from collections.abc import Iterator, Sequence

from toolreeve.policy.skeleton import skeletons


def look_alikes(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each name that looks like an earlier one, with that one."""
    looks: dict[str, str] = {}
    for name in dict.fromkeys(names):
        mine = skeletons(name)
        like = next((looks[look] for look in mine if look in looks), None)
        if like is not None:
            yield name, like
        for look in mine:
            looks.setdefault(look, name)
