"""`registrar doctor`: checks each part and reports how it is. It posts nothing."""
