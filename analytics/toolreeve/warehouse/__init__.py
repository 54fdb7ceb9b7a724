"""The audit history in DuckDB: loaded exactly once, asked in SQL.

`store.Warehouse` is the only writer of the file. `executor.QueryExecutor` runs people's queries in
processes of their own over `parts.Parts`, Parquet copies of what is committed. `report` asks the
questions that the product itself has.

Nothing is imported here: a query's process starts from this room and must start quickly.
"""
