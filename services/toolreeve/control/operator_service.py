"""OperatorService: what operators and their programs ask for.

The table of methods is the contract's own: a method that is not carried out here answers so, by
name. What is asked goes to the desk that knows about it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from toolreeve.control.desk import Admit, Context, Methods, RefusedError, guarded
from toolreeve.v1 import operator_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["OperatorService"]
SERVICE = _SERVICE.full_name

Watch = Callable[[Any, Context], Awaitable[None]]


def operator_service(
    desks: Sequence[Methods], watches: Mapping[str, Watch], admit: Admit
) -> grpc.GenericRpcHandler:
    """The service, to be added to a server: what `desks` answer once, and `watches` in a stream.

    `admit` is asked before every one of them.
    """
    answers = {name: method for desk in desks for name, method in desk.items()}
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in _SERVICE.methods:
        request = GetMessageClass(method.input_type)
        if method.name in watches:
            handlers[method.name] = grpc.unary_stream_rpc_method_handler(
                _admitted(method.name, watches[method.name], admit),
                request_deserializer=request.FromString,
                response_serializer=_serialise,
            )
        else:
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                guarded(method.name, answers.get(method.name), admit),
                request_deserializer=request.FromString,
                response_serializer=_serialise,
            )
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _admitted(name: str, watch: Watch, admit: Admit) -> Watch:
    async def follow(request: Any, context: Context) -> None:
        try:
            await admit(name, request, context)
        except RefusedError as error:
            await context.abort(error.code, error.text)
        await watch(request, context)

    return follow


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
