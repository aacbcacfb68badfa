"""Search: what was asked, the SQL for it, running it on each database, one page out of all."""
