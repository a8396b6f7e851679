"""What Registrar does, expressed only in terms of the domain and the ports."""
