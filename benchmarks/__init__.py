"""`make bench`: Registrar compared with bare Bolt, in one run on one machine. The output is in docs/benchmarks.md."""
