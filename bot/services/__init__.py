"""What Registrar does, in terms of the domain and the ports only."""
