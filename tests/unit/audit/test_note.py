"""Signed checkpoints: read back, refused, and readable by others' tools."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit.note import (
    Checkpoint,
    NamedKey,
    NoteError,
    read_checkpoint,
    sign_note,
    signature_line,
    verify_note,
)
from toolreeve.policy.sign import SigningKey

CHECKPOINT = Checkpoint("audit.example/eu", 15_368_405, bytes(range(32)))


def named(name: str) -> tuple[NamedKey, SigningKey]:
    key = SigningKey.generate()
    raw = base64.b64decode(key.public.text.partition(":")[2])
    return NamedKey(name, raw, key.public.verifies), key


def test_a_note_is_read_back_with_everybody_who_signed_it() -> None:
    (log, log_key), (witness, witness_key) = named("audit.example/eu"), named("witness.example")
    note = sign_note(CHECKPOINT.text, log, log_key.sign)
    note += signature_line(CHECKPOINT.text, witness, witness_key.sign)
    text, signers = verify_note(note, [log, witness])
    assert read_checkpoint(text) == CHECKPOINT
    assert signers == ("audit.example/eu", "witness.example")
    assert verify_note(note, [log])[1] == ("audit.example/eu",)


def test_the_form_is_that_of_the_published_format() -> None:
    log, key = named("audit.example/eu")
    lines = sign_note(CHECKPOINT.text, log, key.sign).split("\n")
    assert lines[:4] == [
        "audit.example/eu",
        "15368405",
        base64.b64encode(bytes(range(32))).decode(),
        "",
    ]
    dash, name, signature = lines[4].split(" ")
    assert (dash, name, lines[5:]) == ("—", "audit.example/eu", [""])
    assert len(base64.b64decode(signature)) == 4 + 64


def test_a_foreign_key_of_the_same_name_is_not_believed() -> None:
    log, _ = named("audit.example/eu")
    impostor, key = named("audit.example/eu")
    with pytest.raises(NoteError, match="no known key"):
        verify_note(sign_note(CHECKPOINT.text, impostor, key.sign), [log])


@given(st.data())
def test_no_character_of_a_note_can_be_changed(data: st.DataObject) -> None:
    log, key = named("log")
    note = sign_note(CHECKPOINT.text, log, key.sign)
    at = data.draw(st.integers(0, len(note) - 1))
    letter = data.draw(st.characters(codec="utf-8").filter(lambda one: one != note[at]))
    changed = note[:at] + letter + note[at + 1 :]
    try:
        text, _ = verify_note(changed, [log])
    except NoteError:
        return
    assert text == CHECKPOINT.text, "only base64's unused bits may differ"


@pytest.mark.parametrize(
    "text",
    ["", "log\n", "log\n1\n", "log\n01\nAAAA\n", "log\n-1\n" + "A" * 44 + "\n", "\n1\n" + "A" * 44],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        read_checkpoint(text)


@given(st.text(alphabet="— a+\n=A1", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(NoteError):
        verify_note(text, [])
