"""As in the manual of Flask-Mail."""

import os

from flask import Flask
from flask_mail import Mail, Message

app = Flask(__name__)
app.config["MAIL_SERVER"] = os.environ["MAIL_SERVER"]
app.config["MAIL_PORT"] = int(os.environ["MAIL_PORT"])
app.config["MAIL_USERNAME"] = os.environ.get("MAIL_USERNAME")
app.config["MAIL_PASSWORD"] = os.environ.get("MAIL_PASSWORD")
app.config["MAIL_USE_TLS"] = "MAIL_STARTTLS" in os.environ
app.config["MAIL_USE_SSL"] = "MAIL_SSL" in os.environ
mail = Mail(app)

with app.app_context():
    message = Message(os.environ["SUBJECT"], sender="app@myapp.example.com", recipients=[os.environ["RECIPIENT"]])
    message.body = "Thank you, Jörg!\n"
    mail.send(message)
