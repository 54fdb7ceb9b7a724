"""What the parser lets in is read alike by everyone; the rest is refused by name."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.proxy.strictjson import DEPTH_MAX, Parsed, Refused, parse

REFUSED = {
    "nothing": (b"", "empty"),
    "cut off": (b'{"a":', "parse"),
    "two texts": (b'{"a":1}{"b":2}', "parse"),
    "a comment": (b'{"a":1/*x*/}', "parse"),
    "a trailing comma": (b'{"a":1,}', "parse"),
    "single quotes": (b"{'a':1}", "parse"),
    "a vertical tab as space": (b'{"a":\x0b1}', "parse"),
    "a no-break space": ('{"a":\u00a01}'.encode(), "parse"),
    "a raw line break in a string": (b'{"a":"x\ny"}', "parse"),
    "a leading zero": (b'{"a":01}', "parse"),
    "a hexadecimal number": (b'{"a":0x10}', "parse"),
    "a plus sign": (b'{"a":+1}', "parse"),
    "a bare fraction": (b'{"a":.5}', "parse"),
    "NaN": (b'{"a":NaN}', "number"),
    "Infinity": (b'{"a":-Infinity}', "number"),
    "a number beyond doubles": (b'{"a":1e400}', "number"),
    "2 to the 64th": (b'{"a":18446744073709551616}', "number"),
    "below the signed range": (b'{"a":-9223372036854775809}', "number"),
    "a wide integer deep down": (b'[[{"a":[1,99999999999999999999]}]]', "number"),
    "five thousand digits": (b'{"a":' + b"9" * 5000 + b"}", "number"),
    "the same key twice": (b'{"a":1,"a":2}', "duplicate_key"),
    "the same key, once escaped": (b'{"name":1,"\\u006eame":2}', "duplicate_key"),
    "the same key twice, deep down": (b'[{"b":[{"a":1,"c":2,"a":1}]}]', "duplicate_key"),
    "one key in two normal forms": ('{"\u00e9":1,"e\u0301":2}'.encode(), "duplicate_key"),
    "two normal forms, escaped": (b'{"\\u00e9":1, "e\\u0301":2}', "duplicate_key"),
    "half a surrogate pair": (b'{"a":"\\ud800"}', "surrogate"),
    "half a pair in a key": (b'{"\\udc00":1}', "surrogate"),
    "a byte-order mark": (b'\xef\xbb\xbf{"a":1}', "bom"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "encoding"),
    "UTF-16 without a mark": ('{"a":1}'.encode("utf-16-be"), "encoding"),
    "UTF-32": ('{"a":1}'.encode("utf-32-be"), "encoding"),
    "an overlong form": (b'{"a":"\xc0\x80"}', "encoding"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "encoding"),
    "Latin-1": (b'{"a":"\xe9"}', "encoding"),
    "too deep": (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "depth"),
    "very deep": (b"[" * 100_000 + b"]" * 100_000, "depth"),
    "deep objects": (b'{"a":' * 12_000 + b"1" + b"}" * 12_000, "depth"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_readers_may_read_differently_is_refused(name: str) -> None:
    raw, code = REFUSED[name]
    found = parse(raw)
    assert isinstance(found, Refused)
    assert found.code == code
    assert found.http_status == 400


def test_plain_text_is_passed_on_as_the_bytes_it_came_in() -> None:
    raw = '{"id":7,"s":"ä\\n\U0001f600","f":0.1,"n":null,"l":[true,{}]}'.encode()
    found = parse(raw)
    assert isinstance(found, Parsed)
    assert found.raw is raw


def test_odd_but_plain_text_is_written_out_anew() -> None:
    found = parse(b' {"a" : -0, "\\u0062": 1e2, "c":"\\/"}\r\n')
    assert found == Parsed({"a": 0, "b": 100.0, "c": "/"}, b'{"a":0,"b":100.0,"c":"/"}')


def test_nesting_up_to_the_bound_is_read() -> None:
    assert isinstance(parse(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX), Parsed)


def test_many_brackets_side_by_side_are_not_depth() -> None:
    assert isinstance(parse(b"[" + b"[],{}," * 500 + b"[]]"), Parsed)


def test_integers_of_64_bits_keep_every_digit() -> None:
    for number in (2**53 + 1, 2**63, 2**64 - 1, -(2**63)):
        found = parse(b"[%d]" % number)
        assert isinstance(found, Parsed)
        assert found.value == [number]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _read_by_python(raw: bytes) -> object:
    return json.loads(raw.decode("utf-8"))


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_accepted_python_reads_alike(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        return
    found = parse(raw)
    if isinstance(found, Parsed):
        assert _read_by_python(raw) == found.value == _read_by_python(found.raw)
    else:
        assert found.code in ("duplicate_key", "surrogate")


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\u0019eE+-. \n\x00aA', max_size=40))
def test_no_input_makes_it_fail(text: bytes | str) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    found = parse(raw)
    if isinstance(found, Parsed):
        assert _read_by_python(found.raw) == found.value == msgspec.json.decode(found.raw)


@given(VALUES, st.integers(0, 200), st.binary(min_size=1, max_size=2))
def test_damaged_text_is_refused_or_read_alike(value: object, place: int, damage: bytes) -> None:
    raw = json.dumps(value, ensure_ascii=True).encode()
    place = min(place, len(raw))
    raw = raw[:place] + damage + raw[place + 1 :]
    found = parse(raw)
    if isinstance(found, Parsed):
        assert _read_by_python(raw) == found.value == _read_by_python(found.raw)
