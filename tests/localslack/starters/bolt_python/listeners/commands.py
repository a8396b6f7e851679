from slack_bolt import Ack, App, Respond


def sample_command(ack: Ack, command: dict, respond: Respond) -> None:
    ack()
    respond(f'You asked for "{command["text"]}".')


def register(app: App) -> None:
    app.command("/sample-command")(sample_command)
