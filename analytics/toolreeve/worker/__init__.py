"""The analytics process: loads the audit stream into the warehouse, watches it, answers queries.

`process.serve` runs it. It is the only process that opens the warehouse's file; everyone else asks
it over gRPC.
"""
