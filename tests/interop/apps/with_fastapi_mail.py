"""As in the manual of fastapi-mail."""

import asyncio
import os

from fastapi_mail import ConnectionConfig, FastMail, MessageSchema, MessageType

configuration = ConnectionConfig(
    MAIL_USERNAME=os.environ.get("MAIL_USERNAME", ""),
    MAIL_PASSWORD=os.environ.get("MAIL_PASSWORD", ""),
    MAIL_FROM="app@myapp.example.com",
    MAIL_PORT=int(os.environ["MAIL_PORT"]),
    MAIL_SERVER=os.environ["MAIL_SERVER"],
    MAIL_FROM_NAME="My app",
    MAIL_STARTTLS="MAIL_STARTTLS" in os.environ,
    MAIL_SSL_TLS="MAIL_SSL" in os.environ,
    USE_CREDENTIALS="MAIL_USERNAME" in os.environ,
    VALIDATE_CERTS=True,
)
message = MessageSchema(
    subject=os.environ["SUBJECT"],
    recipients=[os.environ["RECIPIENT"]],
    body="<p>Thank you, Jörg!</p>",
    subtype=MessageType.html,
)
asyncio.run(FastMail(configuration).send_message(message))
