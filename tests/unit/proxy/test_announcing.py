"""One member is changed, the rest of a message stays the bytes it was."""

import pytest

from toolreeve.proxy.announcing import (
    acknowledgement,
    tools_changed,
    with_announcements,
    with_tools_granted,
)
from toolreeve.proxy.audience import Audience, Ear
from toolreeve.proxy.sessions import Session

INTRODUCED = {
    "no capability of that kind": b'{"id":1,"result":{"capabilities":{"prompts":{}}}}',
    "an error": b'{"id":1,"error":{"code":1}}',
    "capabilities that are none": b'{"id":1,"result":{"capabilities":[]}}',
    "tools that are none": b'{"id":1,"result":{"capabilities":{"tools":true}}}',
    "announced already": b'{"id":1, "result":{"capabilities":{"tools":{"listChanged":true}}}}',
    "no message": b"[1",
}


@pytest.mark.parametrize("name", INTRODUCED)
def test_where_there_is_nothing_to_promise_nothing_is_changed(name: str) -> None:
    assert with_announcements(INTRODUCED[name]) is INTRODUCED[name]


def test_a_promise_is_put_beside_what_stands_there() -> None:
    raw = b'{"id":1,"result":{"x":[1.0, 2e3],"capabilities":{"a":1,"tools":{"y":"\\u00e4"}},"z":1}}'
    mended = raw.replace(b'"\\u00e4"', b'"\\u00e4","listChanged":true')
    assert with_announcements(raw) == mended
    assert with_announcements(mended) is mended


def test_a_grant_is_put_beside_what_the_server_grants() -> None:
    raw = b'{"params":{"notifications":{"a":["b"]},"_meta":{"c":1}}}'
    assert with_tools_granted(raw) == raw.replace(b'["b"]', b'["b"],"toolsListChanged":true')
    assert with_tools_granted(b'{"params":{}}') == b'{"params":{}}'


def test_words_of_our_own_carry_the_subscribers_id_as_it_was_written() -> None:
    mark = b'"_meta":{"io.modelcontextprotocol/subscriptionId":"a\\"b"}'
    assert mark in tools_changed('"a\\"b"')
    assert mark in acknowledgement('"a\\"b"')
    assert b"params" not in tools_changed()


class Heard(list[str]):
    def ear(self, name: str, session: Session | None = None, *, resumed: bool = False) -> Ear:
        return Ear(
            lambda: self.append(name),
            session,
            resumed=resumed,
            end=lambda: self.append(f"end {name}"),
        )


def test_each_session_is_told_on_one_stream_and_each_subscriber_on_its_own() -> None:
    audience, heard = Audience(), Heard()
    one, two = Session("one", "g"), Session("two", "g")
    ears = [
        heard.ear("one early", one),
        heard.ear("one late", one),
        heard.ear("one resumed", one, resumed=True),
        heard.ear("two resumed", two, resumed=True),
        heard.ear("subscriber"),
        heard.ear("other subscriber"),
    ]
    for ear in ears:
        audience.join(ear)
    audience.changed()
    assert sorted(heard) == ["one late", "other subscriber", "subscriber", "two resumed"]
    heard.clear()
    audience.leave(ears[1])
    audience.ended(two)
    audience.changed()
    assert sorted(heard) == sorted(
        ["end two resumed", "one early", "two resumed", "other subscriber", "subscriber"]
    )


def test_a_session_is_told_with_each_stream_until_it_has_listed() -> None:
    audience, heard = Audience(), Heard()
    session = Session("s", "g", audience.changes)
    audience.join(heard.ear("first", session))
    assert heard == []
    audience.changed()
    audience.join(heard.ear("second", session))
    audience.join(heard.ear("third", session))
    audience.listed(session)
    audience.join(heard.ear("fourth", session))
    assert heard == ["first", "second", "third"]
