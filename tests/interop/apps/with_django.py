"""As in Django's "Sending email"."""

import os

from django.conf import settings
from django.core.mail import send_mail

settings.configure(
    EMAIL_HOST=os.environ["MAIL_SERVER"],
    EMAIL_PORT=int(os.environ["MAIL_PORT"]),
    EMAIL_HOST_USER=os.environ.get("MAIL_USERNAME", ""),
    EMAIL_HOST_PASSWORD=os.environ.get("MAIL_PASSWORD", ""),
    EMAIL_USE_TLS="MAIL_STARTTLS" in os.environ,
    EMAIL_USE_SSL="MAIL_SSL" in os.environ,
)

send_mail(
    os.environ["SUBJECT"],
    "Thank you, Jörg!\n",
    "app@myapp.example.com",
    [os.environ["RECIPIENT"]],
    fail_silently=False,
)
