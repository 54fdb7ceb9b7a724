"""A server on stdio whose words are put into its mouth: what it reads goes to a socket, what comes
from the socket it says. Its argument is the port where the test listens."""

import os
import socket
import sys
import threading


def main() -> None:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as strings:

        def speak() -> None:
            while data := strings.recv(65536):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()

        threading.Thread(target=speak, daemon=True).start()
        while data := os.read(0, 65536):
            strings.sendall(data)


if __name__ == "__main__":
    main()
