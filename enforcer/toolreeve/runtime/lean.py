"""For a process that is to start fast and stay small."""

import importlib
import sys


def load_structlog_alone() -> None:
    """Load structlog without rich; to be called before anything that logs is imported.

    structlog loads rich for the tracebacks of its console renderer wherever rich is installed: a
    third of the start of `wrap` and five megabytes, for something that is not used. Loaded here it
    finds none and prints plain tracebacks; who wants rich itself still gets it afterwards.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it now fails
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
