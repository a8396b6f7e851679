"""The monitors that agents propose."""
