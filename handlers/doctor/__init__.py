"""`registrar doctor`: what each part is asked, and what is said of it. Nothing here posts."""
