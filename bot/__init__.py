"""What Registrar does, and to what. `handlers` decides when; this package never imports it."""
