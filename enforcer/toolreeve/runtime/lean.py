"""Import this before anything that logs, in a process that is to start fast and stay small.

structlog loads rich for the tracebacks of its console renderer wherever rich is installed: a third
of the start of `wrap` and five megabytes, for something that is not used. Loaded here, structlog
finds no rich and prints plain tracebacks; who wants rich itself still gets it afterwards.
"""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  (an import of it now fails)
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
