"""`registrar doctor`: checks each part of the setup and reports its state. It posts nothing."""
