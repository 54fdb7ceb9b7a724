"""The control plane's process: its log on JetStream, its state, and the services over gRPC.

`serve` runs it; `ControlSettings` say how. Everything that is decided here is decided by
`toolreeve.fleet`.
"""
