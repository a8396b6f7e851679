"""Building blocks, the web client, and the directory that the other packages use."""
