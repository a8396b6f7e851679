from slack_bolt import App

from listeners import actions, commands, events, messages, options, shortcuts, views


def register_listeners(app: App) -> None:
    for kind in (actions, commands, events, messages, options, shortcuts, views):
        kind.register(app)
