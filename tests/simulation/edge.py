"""One enforcer as a process: what `gateway.enforcing` puts together, on a simulated machine."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from tests.simulation.history import History, Received
from tests.simulation.loop import Process
from tests.simulation.machine import Machine, SimulatedHost
from tests.simulation.network import Network, SimulatedConnection

from toolreeve.audit import Completed, Draft, HoldPlaced, Position, Redaction
from toolreeve.bus import Publisher, ShipSettings, Subjects, ship
from toolreeve.decision.grant import Grant, Grants, Token
from toolreeve.enforcement import HoldsReplaced, PolicyOffered, Sampling
from toolreeve.gateway.admission import Granted, hash_of
from toolreeve.gateway.holdfile import HoldFile
from toolreeve.gateway.holding import carry_out
from toolreeve.gateway.opening import Opened, take_up
from toolreeve.outbox import OutboxSettings
from toolreeve.policy import parse
from toolreeve.proxy import gate
from toolreeve.runtime.identity import Identity
from toolreeve.wire.hold_order import HoldOrder

SERVER = "hypervisor"
GRANTS = ("ops", "nightly")
TOOLS = ("vm_list", "vm_restart", "vm_stop", "vm_delete")
LIMITS = {"vm_restart": (3, 4.0), "vm_stop": (5, 6.0)}  # at most so many calls in so many seconds
POLICY = parse(
    json.dumps(
        {
            "version": "1",
            "default": "deny",
            "tools": {
                "vm_list": {},
                "vm_restart": {
                    "limits": [{"counter": "restarts", "window": 4, "max": 3, "scope": "grant"}]
                },
                "vm_stop": {
                    "limits": [
                        {
                            "counter": "stops",
                            "window": 6,
                            "max": 5,
                            "scope": "server",
                            "refund_on": ["not_sent"],
                        }
                    ]
                },
            },
        }
    ),
    source="simulation",
)
SUBJECTS = Subjects("sim")
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = _KEY.public_key().public_bytes_raw()
IDENTITY = Identity(PUBLIC_KEY, lambda: _KEY.sign)
OUTBOX = OutboxSettings(
    segment_bytes=16_384,
    bytes_max=4_000,
    records_max=16,
    waiting_max=64,
    retry_seconds=0.2,
    keep_seconds=12.0,
)


def token_of(grant: str) -> str:
    return f"token-of-{grant}"


class Held(Struct):
    """A hold that an enforcer has carried out. `kept`: on its disk, and so over restarts.

    What it decides later is stopped; once the hold is `recorded`, so is what it decided before.
    """

    tool: str
    since: float
    kept: bool
    recorded: bool


class Edge:
    """The enforcer `name` over all its lives; `opened` is the present one's."""

    def __init__(
        self,
        name: str,
        machine: Machine,
        network: Network,
        history: History,
        settings: OutboxSettings,
    ) -> None:
        self.name = name
        self.machine = machine
        self.opened: Opened | None = None
        self.process: Process | None = None
        self.orders: asyncio.Queue[HoldOrder] = asyncio.Queue()
        self._held: dict[str, Held] = {}
        self._recorded: set[str] = set()
        self._network = network
        self._history = history
        self._settings = settings

    @property
    def serving(self) -> bool:
        return self.opened is not None and self.process is not None and self.process.alive

    async def main(self, process: Process) -> None:
        """One life."""
        host = SimulatedHost(self.machine, process)
        holds = HoldFile(Path(self.name) / "holds.json", host)
        opened = await take_up(
            Path(self.name) / "outbox",
            name=self.name,
            who=IDENTITY,
            redaction=Redaction(keep=("/id",), key=bytes(32)),
            counter_key=bytes(32),
            servers=(SERVER,),
            policies={SERVER: PolicyOffered(server=SERVER, policy=POLICY, origin="file")},
            admission=Granted(
                Grants(
                    Grant(
                        grant=grant,
                        agent=f"agent-{grant}",
                        tokens=(Token(hash_of(token_of(grant))),),
                    )
                    for grant in GRANTS
                )
            ),
            outbox_settings=self._settings,
            sampling=Sampling(),
            waits=True,
            tell=lambda _: None,
            host=host,
            stopwatch=lambda: 0,
        )
        self._listen_to_promises(opened)
        await opened.station.hear(HoldsReplaced(holds.state.holds))
        now = self.machine.loop.time()
        connection = SimulatedConnection(self._network, self.name, process)
        subject = SUBJECTS.audit(self.name)
        publisher = Publisher(
            connection.real, subject, stream=SUBJECTS.audit_stream, ack_seconds=2.0
        )
        self.opened, self.process = opened, process
        process.when_dead(self._end)
        self._held = {name: held for name, held in self._held.items() if held.kept}
        self._history.note(now, f"{self.name:9} serves, epoch {opened.epoch}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connection.keep())
            small = ShipSettings(groups_max=8, bytes_max=32_000)
            tasks.create_task(ship(opened.outbox, publisher, enforcer=self.name, settings=small))
            tasks.create_task(opened.sealer.run())
            tasks.create_task(self._obey(opened, holds))
            tasks.create_task(self._trim(opened))

    async def call(self, request: gate.ToolCall, token: str, asked: float) -> str:
        """What the proxy does with a tool call; returns what the agent hears."""
        assert self.opened is not None
        station = self.opened.station
        caller = station.authenticate(SERVER, f"Bearer {token}")
        if isinstance(caller, gate.Stranger):
            await station.refused(
                gate.BadRequest(
                    server=SERVER,
                    caller=None,
                    code="unauthenticated",
                    reason="no grant has this token",
                    transport="http",
                    http_status=401,
                    rpc_error_code=0,
                    method="tools/call",
                    wire_tool=request.wire_name,
                    request_bytes=request.request_bytes,
                    peer="192.0.2.1",
                )
            )
            return "unauthenticated"
        deciding = station.decide(request)
        if deciding.written is not None:
            with suppress(Exception):  # the verdict knows
                await deciding.written
        outcome = deciding.verdict()
        if isinstance(outcome, gate.Refusal):
            return "refused"
        chance = self.machine.chance
        if chance.happens(0.05):
            ending = gate.Ending(outcome="not_sent", duration_ns=1, response_bytes=0)
            station.ended(outcome.token, ending)
            return "not sent"
        self._forward(request, token, asked)
        await asyncio.sleep(chance.seconds(0.001, 0.4))
        ending = gate.Ending(outcome="success", duration_ns=1_000_000, response_bytes=200)
        station.ended(outcome.token, ending)
        return "result"

    def _forward(self, request: gate.ToolCall, token: str, asked: float) -> None:
        """The call is in the upstream's hands: it takes what it gets."""
        now = self.machine.loop.time()
        held = [
            name
            for name, one in self._held.items()
            if one.tool == request.wire_name and (one.recorded or asked > one.since)
        ]
        received = Received(
            enforcer=self.name,
            request_id=request.request_id,
            tool=request.wire_name,
            grant=request.caller.grant,
            authorised=token == token_of(request.caller.grant),
            held=held[0] if held else "",
            decided=asked,
            at=now,
        )
        self._history.received.append(received)
        self._history.note(now, f"{self.name:9} forwards {request.request_id} {request.wire_name}")

    def _listen_to_promises(self, opened: Opened) -> None:
        append = opened.outbox.append

        def heard(record: Draft, *, lingers: bool = False) -> "asyncio.Future[Position]":
            done = append(record, lingers=lingers)

            def told(promised: "asyncio.Future[Position]") -> None:
                if promised.cancelled():
                    return
                if promised.exception() is not None:
                    if isinstance(record.body, Completed):
                        self._history.unwritten.add(record.body.decision_id)
                else:
                    self._history.told[(self.name, promised.result())] = record
                    if isinstance(record.body, HoldPlaced):
                        self._recorded.add(record.body.hold.hold_id)

            done.add_done_callback(told)
            return done

        opened.outbox.append = heard  # type: ignore[method-assign]

    async def _obey(self, opened: Opened, holds: HoldFile) -> None:
        while True:
            order = await self.orders.get()
            if order.release is not None:
                self._held.pop(order.release.hold_id, None)
                self._recorded.discard(order.release.hold_id)
            if order.snapshot is not None:
                kept = {hold.hold_id for hold in order.snapshot}
                self._held = {name: held for name, held in self._held.items() if name in kept}
                self._recorded &= kept
            await carry_out(order, opened.station, holds)
            now = self.machine.loop.time()
            for hold in order.snapshot or (order.place,):
                if hold is not None:
                    name = hold.hold_id
                    kept_here = hold in holds.state.holds
                    self._held[name] = Held(hold.tool, now, kept_here, name in self._recorded)
            self._history.note(now, f"{self.name:9} holds {sorted(self._held)}")

    async def _trim(self, opened: Opened) -> None:
        while True:
            await asyncio.sleep(3.0)
            await asyncio.to_thread(opened.outbox.trim)

    def _end(self) -> None:
        self.opened = None
        self.orders = asyncio.Queue()
