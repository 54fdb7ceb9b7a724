"""Lines that a client does not take: they wait in their server, or are lost, never in memory."""

from __future__ import annotations

import asyncio

from toolreeve.proxy.mailbox import BYTES_HIGH, LINES_HIGH, Backlog, Line, Mailbox
from toolreeve.proxy.seen import Seen

NOTE = Line(b'{"method":"notifications/x"}', Seen(method="notifications/x"))
ANSWER = Line(b'{"id":1,"result":{}}', Seen(id=1))


def taken(mailbox: Mailbox) -> list[Line]:
    async def take() -> list[Line]:
        mailbox.close("that is all")
        lines: list[Line] = []
        while (line := await mailbox.get(1.0)) is not None:
            lines.append(line)
        return lines

    return asyncio.run(take())


def test_a_mailbox_that_fills_says_so_once_and_once_again_when_there_is_room() -> None:
    async def main() -> None:
        said: list[str] = []
        mailbox = Mailbox(lambda: said.append("full"), lambda: said.append("free"))
        for _ in range(LINES_HIGH + 10):
            mailbox.put(NOTE)
        assert said == ["full"]
        for _ in range(LINES_HIGH // 2):
            await mailbox.get(1.0)
        assert said == ["full"]
        for _ in range(10):
            await mailbox.get(1.0)
        assert said == ["full", "free"]
        assert mailbox.lost == 0

    asyncio.run(main())


def test_a_mailbox_fills_by_bytes_too() -> None:
    said: list[str] = []
    mailbox = Mailbox(lambda: said.append("full"))
    mailbox.put(Line(b"x" * BYTES_HIGH, Seen()))
    assert said == []
    mailbox.put(NOTE)
    assert said == ["full"]


def test_a_mailbox_that_is_given_up_holds_nobody_back() -> None:
    said: list[str] = []
    mailbox = Mailbox(lambda: said.append("full"), lambda: said.append("free"))
    for _ in range(LINES_HIGH + 1):
        mailbox.put(NOTE)
    mailbox.close("nobody waits")
    assert said == ["full", "free"]


def test_where_clients_share_a_server_notes_are_lost_and_answers_are_not() -> None:
    mailbox = Mailbox()
    for _ in range(LINES_HIGH + 500):
        mailbox.put(NOTE)
    mailbox.put(ANSWER)
    assert mailbox.lost == 499
    lines = taken(mailbox)
    assert len(lines) == LINES_HIGH + 2
    assert lines[-1] is ANSWER


def test_a_backlog_keeps_the_newest_within_its_bounds() -> None:
    backlog = Backlog(lines_max=3, bytes_max=1_000)
    for number in range(5):
        backlog.put(Line(b"%d" % number, Seen()))
    mailbox = Mailbox()
    backlog.empty_into(mailbox)
    assert [line.raw for line in taken(mailbox)] == [b"2", b"3", b"4"]
    backlog.put(Line(b"x" * 900, Seen()))
    backlog.put(Line(b"y" * 900, Seen()))
    again = Mailbox()
    backlog.empty_into(again)
    assert [line.raw[:1] for line in taken(again)] == [b"y"]
