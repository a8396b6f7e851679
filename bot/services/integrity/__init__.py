"""Hash the files of versions, and compare them with what was recorded."""
