"""Read: a record, lists of records, queries, search and totals."""
