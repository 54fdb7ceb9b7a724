"""`python -S join.py SOCKET`: hand stdin, stdout and stderr to a warm server, and end when it does.

To whoever starts it this is a server on stdio; it only starts a second sooner, because another
process has loaded the SDK already and forks for it.
"""

import json
import os
import socket
import sys

KEPT = ("ERA", "SEEN_FILE")

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as warm:
    warm.connect(sys.argv[1])
    told = json.dumps({name: os.environ[name] for name in KEPT if name in os.environ})
    socket.send_fds(warm, [told.encode()], [0, 1, 2])
    for descriptor in (0, 1):
        os.close(descriptor)  # the server alone holds them now, and sees their ends
    warm.recv(1)  # nothing ever comes but the end
