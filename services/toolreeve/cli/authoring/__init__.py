"""The commands under `toolreeve policy`: for those who write policies and those who publish them.

Each stands in a module of its own; the table in `cli/policy.py` names them.
"""
