"""`make bench`: Registrar beside bare Bolt, in one run on one machine; docs/benchmarks.md is what it prints."""
