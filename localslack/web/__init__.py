"""The sockets and pages of the workspace: HTTP and WebSocket endpoints around the core."""
