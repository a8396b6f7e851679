"""The monitor's rules on simulated months and real series, beside common detectors: `make bench-rules`."""
