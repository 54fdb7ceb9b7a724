"""MCP on the wire: strict JSON-RPC, Streamable HTTP, stdio, and the way to upstreams.

Everything passes through as bytes, in both protocol eras; what may pass is asked of a `Gate`.
"""
