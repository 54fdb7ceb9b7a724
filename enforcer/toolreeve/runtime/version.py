"""The version of this software; the package's own is read from here.

A constant, because asking the installed package's metadata takes ten milliseconds of a start.
"""

VERSION = "0.1.0"
