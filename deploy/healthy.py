"""Say by exit code whether a service of this container answers.

    python healthy.py tcp PORT      somebody listens on loopback
    python healthy.py grpc PORT     its gRPC health service says SERVING

Runs in images that hold one service and no shell tools, so it needs nothing beyond them.
"""

import socket
import sys

SECONDS_MAX = 2.0
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse{status: SERVING}


def listens(port: int) -> bool:
    """Whether a connection to this port on loopback is taken."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX):
            return True
    except OSError:
        return False


def serves(port: int) -> bool:
    """Whether the gRPC health service behind this port on loopback says SERVING."""
    import grpc  # noqa: PLC0415  (images without gRPC ask for tcp)

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        # Bytes in, bytes out: the request has no fields, and the answer has one.
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/grpc.health.v1.Health/Check"
        )
        try:
            answer = check(b"", timeout=SECONDS_MAX)
        except grpc.RpcError:
            return False
    return answer == SERVING


def main() -> None:
    """Exit 0 if the service answers, 1 if not."""
    kind, port = sys.argv[1:]
    healthy = {"tcp": listens, "grpc": serves}[kind](int(port))
    sys.exit(0 if healthy else 1)


if __name__ == "__main__":
    main()
