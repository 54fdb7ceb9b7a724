"""Two small MCP servers over an in-memory hypervisor, and the agents that `up --demo` sends.

The servers run as processes of their own (`python -m toolreeve.cli.demo.flat`, `... .meta`) and
write down every call that reaches them, so that a test can compare what an enforcer claims to
have let through with what came through.
"""
