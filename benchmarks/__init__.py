"""`make bench`: Registrar compared with bare Bolt, in one run on one machine. Output: docs/reference/benchmarks.md."""
