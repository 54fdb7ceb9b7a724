"""The enforcer's end of the control stream, and what it keeps on disk of what came through.

`link`, `joining` and `secure` speak gRPC and nothing else here imports it: an enforcer that stands
alone does not pay for it. `receive` decides what is believed, `shelf` keeps the last known good.
"""

from toolreeve.sync.receive import Accepted, Rejected, receive, recover
from toolreeve.sync.shelf import Shelf, ShelfError, Shelved

__all__ = ["Accepted", "Rejected", "Shelf", "ShelfError", "Shelved", "receive", "recover"]
