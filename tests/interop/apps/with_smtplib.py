"""As in the examples of Python's email package."""

import os
import smtplib
import ssl
from email.message import EmailMessage

message = EmailMessage()
message["Subject"] = os.environ["SUBJECT"]
message["From"] = "app@myapp.example.com"
message["To"] = os.environ["RECIPIENT"]
message.set_content("Thank you, Jörg!\n")

context = ssl.create_default_context()
host, port = os.environ["MAIL_SERVER"], int(os.environ["MAIL_PORT"])
with smtplib.SMTP_SSL(host, port, context=context) if "MAIL_SSL" in os.environ else smtplib.SMTP(host, port) as server:
    if "MAIL_STARTTLS" in os.environ:
        server.starttls(context=context)
    if "MAIL_USERNAME" in os.environ:
        server.login(os.environ["MAIL_USERNAME"], os.environ["MAIL_PASSWORD"])
    server.send_message(message)
