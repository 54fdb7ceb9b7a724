"""The process that stands between agents and upstreams.

Puts the rooms together: the proxy asks, the enforcement decides, the outbox has it on disk, the
bus carries it away, the control stream brings policies. Has no opinions of its own.
"""
