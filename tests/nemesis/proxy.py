"""A wire that can be cut: TCP connections are carried to a port, or held, or broken."""

import contextlib
import selectors
import socket
import threading
import time

BUFFER = 1 << 16


class Proxy:
    """Carries every connection to 127.0.0.1:`port`. Runs on a thread of its own."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._upward: set[socket.socket] = set()  # the clients' ends
        self._closed = False
        self.holds_up = False
        """Nothing passes to the server; connections stay."""
        self.holds_down = False
        """Nothing passes back."""
        self.refuses = False
        """Every connection ends at once."""
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        for one in list(self._pairs):
            one.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closed:
            if self.refuses:
                for one in list(self._pairs):
                    self._drop(one)
            if self.holds_up or self.holds_down:
                time.sleep(0.01)  # what is held stays readable
            for key, _ in self._selector.select(0.02):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self._listener:
                    self._accept()
                elif source in self._pairs:
                    self._carry(source)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, timeout=1.0)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(5.0)
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)
        self._upward.add(client)

    def _carry(self, source: socket.socket) -> None:
        if self.holds_up if source in self._upward else self.holds_down:
            return  # what comes stays in the kernel's buffers
        try:
            data = source.recv(BUFFER)
            if data:
                self._pairs[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(source)

    def _drop(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        self._upward -= {one, other}
        for end in (one, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
