"""Which requests beside tool calls a policy has no say over."""

ALWAYS_ALLOWED = frozenset(
    {"initialize", "ping", "server/discover", "logging/setLevel", "subscriptions/listen"}
)


def always_passes(method: str) -> bool:
    """Whether a request passes whatever `methods` says: what a client needs to get going.

    Lists pass because what they list is shown and called under rules of its own, notifications
    because nobody answers them.
    """
    return (
        method in ALWAYS_ALLOWED or method.startswith("notifications/") or method.endswith("/list")
    )
