"""Hash versions' files, and compare them with the recorded manifests."""
