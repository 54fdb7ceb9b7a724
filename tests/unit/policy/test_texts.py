"""Texts that nobody would write: whatever they are, they are taken or refused, never a crash."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolreeve.policy import PolicyTextError, parse
from toolreeve.policy.dialects import DIALECTS, import_policy
from toolreeve.policy.layout import LayoutError, tidy

PIECES = [
    *(
        "version: '1'\n",
        "default: deny\n",
        "tools:\n",
        "  a:\n",
        "    limits:\n",
        "  - ",
        "- ",
        "? ",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "\n",
        "  ",
        "\t",
        "# c\n",
        "|\n",
        ">-\n",
        "&x ",
        "*x",
        "!!str ",
    ),
    *('"', "'", "\\ud800", "\\x00", "\x85", "\u2028", "\ufeff", "---\n", "...\n", "%YAML 1.1\n"),
    *(
        "1e999",
        "0x1",
        "1_0",
        "~",
        "null",
        "yes",
        ".nan",
        "2001-01-01",
        "<<: ",
        "rules",
        "hide: [a]\n",
    ),
    *('{"version": "1", "default": "deny"', ', "tools": {', '"a": {}', "}}", '"a"', "é", "\r\n"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)


@settings(max_examples=600, deadline=None)
@given(TEXTS | st.binary(max_size=40), st.sampled_from(["auto", *DIALECTS]))
@example(b"\xff\xfe{}", "auto")
@example("[" * 5_000, "auto")
@example("{" * 5_000, "faq")
@example("- " * 3_000, "intercept")
@example('{"a":' * 3_000, "auto")
def test_every_text_is_taken_or_refused(text: str | bytes, dialect: str) -> None:
    try:
        policy = parse(text, source="p")
    except PolicyTextError as error:
        assert error.complaints
    else:
        try:
            assert parse(tidy(text, source="p"), source="p").revision == policy.revision
        except LayoutError as error:
            assert str(error).startswith("p:")
    try:
        import_policy(text, "p", dialect)
    except PolicyTextError as error:
        assert error.complaints
