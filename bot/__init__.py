"""Registrar's domain, services, and adapters. This package never imports `handlers`."""
