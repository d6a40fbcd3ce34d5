"""The same faults against this project and four others: each cell has its own server and worker processes."""
