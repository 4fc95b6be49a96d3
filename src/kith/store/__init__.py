"""PostgreSQL: connections, migrations, and all SQL that is written by hand."""
