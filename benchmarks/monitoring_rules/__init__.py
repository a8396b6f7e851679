"""The monitor's rules on simulated months and real series, compared with common detectors: `make bench-rules`."""
