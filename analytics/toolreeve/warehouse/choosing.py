"""Which events an erasure is to name, and what of it nobody can erase."""

from collections.abc import Sequence

from msgspec import Struct

from toolreeve.audit import ErasedEvents
from toolreeve.policy import parse_pointer
from toolreeve.warehouse.rows_details import numbers
from toolreeve.warehouse.store import Warehouse

_FETCH = 10_000


class ByValue(Struct, frozen=True, kw_only=True):
    """Calls with this value among their arguments.

    `text` is a string as it is, everything else as canonical JSON: it is compared as text with
    kept values of every type. `hashes` are (id of the key, hash) for values that were not kept. An
    empty `pointer` is anywhere.
    """

    text: str
    pointer: str = ""
    hashes: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def words(self) -> str:
        """For the record, which must not have the value."""
        return f"a value at {self.pointer}" if self.pointer else "a value"


class ByGrant(Struct, frozen=True):
    """Calls that presented this grant."""

    grant: str

    @property
    def words(self) -> str:
        """For the record."""
        return f"grant {self.grant}"


class ByAgent(Struct, frozen=True):
    """Calls of this agent."""

    agent: str

    @property
    def words(self) -> str:
        """For the record."""
        return f"agent {self.agent}"


Selector = ByValue | ByGrant | ByAgent


def choose(warehouse: Warehouse, selector: Selector) -> list[ErasedEvents]:
    """The events that have details and are chosen, by enforcer and epoch."""
    where, values = _condition(selector)
    found: dict[tuple[str, int], list[int]] = {}
    with warehouse.reader() as reader:
        rows = reader.execute(
            "SELECT enforcer, epoch, sequence FROM decided"  # noqa: S608  our own names
            f" WHERE details = 'here' AND ({where}) ORDER BY ALL",
            values,
        )
        while fetched := rows.fetchmany(_FETCH):
            for enforcer, epoch, sequence in fetched:
                found.setdefault((enforcer, epoch), []).append(sequence)
    return [
        ErasedEvents(enforcer=enforcer, epoch=epoch, sequences=tuple(sequences))
        for (enforcer, epoch), sequences in found.items()
    ]


def in_the_chain(warehouse: Warehouse, selector: Selector) -> int:
    """How many events hold it in their own bytes: decisions from before there were details, and
    alerts and holds that name the value."""
    where, values = _condition(selector)
    with warehouse.reader() as reader:
        row = reader.execute(
            "SELECT count(*) FROM decided WHERE details = 'none'"  # noqa: S608  our own names
            f" AND arguments_hash <> ''::BLOB AND ({where})",
            values,
        ).fetchone()
        assert row is not None
        count = int(row[0])
        if isinstance(selector, ByValue):
            row = reader.execute(
                "SELECT (SELECT count(*) FROM alerts_raised"
                " WHERE list_contains(map_values(labels), $1))"
                " + (SELECT count(*) FROM hold_events"
                " WHERE argument_value = $1 OR argument_value = to_json($1)::VARCHAR)",
                [selector.text],
            ).fetchone()
            assert row is not None
            count += int(row[0])
    return count


def _condition(selector: Selector) -> tuple[str, Sequence[object]]:
    match selector:
        case ByGrant():
            return '"grant" = ?', [selector.grant]
        case ByAgent():
            return "agent = ?", [selector.agent]
        case ByValue():
            return _value_condition(selector)


def _value_condition(selector: ByValue) -> tuple[str, Sequence[object]]:
    """Kept values are compared as text; hashes at the place of their name."""
    values: list[object] = []
    if selector.pointer:
        conditions = ["json_extract_string(arguments::JSON, ?) = ?"]
        values += [_member(selector.pointer), selector.text]
    else:
        conditions = ["list_contains(json_extract_string(arguments::JSON, '$.*'), ?)"]
        values.append(selector.text)
    keys = parse_pointer(selector.pointer) if selector.pointer else ()
    if len(keys) <= 1:  # only members of the top level have a hash of their own
        for key_id, hashed in selector.hashes:
            key, number = key_id.hex(), numbers(hashed)[0]
            if keys:
                place = "argument_hashes[list_position(argument_names, ?)] = ?"
                conditions.append(f"(hash_key = ? AND {place})")
                values += [key, keys[0], number]
            else:
                conditions.append("(hash_key = ? AND list_contains(argument_hashes, ?))")
                values += [key, number]
    return " OR ".join(conditions), values


def _member(pointer: str) -> str:
    """The JSON path of a kept value, which stands under its pointer as its name."""
    escaped = pointer.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'
