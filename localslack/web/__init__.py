"""The server: HTTP and WebSocket endpoints, and the page."""
