"""Which files a version has, down to each byte."""
