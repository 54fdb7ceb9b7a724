"""The command `toolreeve`: everything it says to people, and the whole product in one process tree.

Each command loads what it needs when it runs; `toolreeve --help` loads only click.
"""
