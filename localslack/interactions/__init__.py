"""What people do: type, click, choose, submit, close; and what they see of the app's answer."""
