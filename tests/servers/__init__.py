"""True counterparts for tests: servers that speak over real sockets, on a thread or as a process."""
