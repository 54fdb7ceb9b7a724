"""What a call counted under limits that the whole fleet shares, as it stands in its row."""

from decimal import ROUND_CEILING, Context, Decimal

import msgspec

from toolreeve.audit import Decided

MICROSECOND = 1_000
_MILLIONTH = Decimal("0.000001")
_DIGITS = Context(prec=400)


def leased(body: Decided) -> str:
    """What was counted in the fleet's quota, as JSON; empty where nothing was.

    Amounts are rounded up to millionths, as they are in a lease.
    """
    counted = [
        {
            "counter": one.counter,
            "bucket": one.bucket,
            "window_us": one.window_ns // MICROSECOND,
            "calendar": one.calendar,
            "amount": str(one.amount.quantize(_MILLIONTH, ROUND_CEILING, _DIGITS)),
            "maximum": str(one.maximum),
            "lease": one.lease,
        }
        for one in body.reservations
        if one.lease
    ]
    return msgspec.json.encode(counted).decode() if counted else ""
