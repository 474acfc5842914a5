"""Alerts by mail, over SMTP with STARTTLS or TLS from the start; without either only to this computer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from console.channels.base import Message, body_of, title_of
from console.errors import ChannelFailed
from console.text import neutralise

if TYPE_CHECKING:
    from email.message import EmailMessage

Security: TypeAlias = Literal["starttls", "tls", "none"]
PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "none": 25}
LIMIT_S = 20.0
"""For each step of the conversation with the server."""


class Mail:
    def __init__(
        self,
        name: str,
        server: str,
        port: int | None,
        security: Security,
        sender: str,
        to: Sequence[str],
        user: str | None = None,
        password: str | None = None,
        *,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.name = name
        self._server = server
        self._port = port or PORTS[security]
        self._security = security
        self._sender = sender
        self._to = tuple(to)
        self._user = user
        self._password = password
        self._limit_s = limit_s

    def __repr__(self) -> str:
        return f"Mail({self.name!r}, {self._server!r})"

    async def send(self, messages: Sequence[Message]) -> None:
        mail = self._written(messages)
        # smtplib blocks, but never longer than its limit at a step; on a thread it holds up nobody.
        await asyncio.to_thread(self._deliver, mail)

    async def close(self) -> None:
        pass

    def _written(self, messages: Sequence[Message]) -> EmailMessage:
        from email.message import EmailMessage
        from email.utils import format_datetime, make_msgid

        mail = EmailMessage()
        first = messages[0]
        subject = f"{title_of(messages)}: {first.text}" if len(messages) == 1 else title_of(messages)
        mail["Subject"] = " ".join(neutralise(subject).split())[:180]
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._to)
        mail["Date"] = format_datetime(first.at)
        mail["Message-ID"] = make_msgid(domain="hawser.invalid")
        mail["Auto-Submitted"] = "auto-generated"
        lines = [f"{message.at:%Y-%m-%d %H:%M} UTC  {neutralise(message.words)}" for message in messages]
        mail.set_content(neutralise(body_of(messages)) if len(messages) == 1 else "\n".join(lines))
        return mail

    def _deliver(self, mail: EmailMessage) -> None:
        import smtplib  # 15 ms, and only a mail needs it
        import ssl

        from providers.http import trust

        where = f"The mail server {self._server}:{self._port}"
        try:
            server: smtplib.SMTP
            if self._security == "tls":
                server = smtplib.SMTP_SSL(self._server, self._port, timeout=self._limit_s, context=trust())
            else:
                server = smtplib.SMTP(self._server, self._port, timeout=self._limit_s)
            with server:
                if self._security == "starttls":
                    server.starttls(context=trust())
                if self._user is not None and self._password is not None:
                    server.login(self._user, self._password)
                server.send_message(mail)
        except smtplib.SMTPAuthenticationError as error:
            raise ChannelFailed(
                f"{where} does not take the name or password of {self._user!r}.",
                hint=f"Set another password for channels.{self.name}.key with: hawser key set NAME",
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise ChannelFailed(
                f"{where} does not offer what is needed: {_said(error)}.",
                hint=f'channels.{self.name}.security can be "starttls", "tls" or, on this computer, "none".',
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise ChannelFailed(f"{where} takes no mail for {', '.join(sorted(error.recipients))}.") from error
        except smtplib.SMTPResponseException as error:
            raise ChannelFailed(f"{where} refuses: {error.smtp_code} {_plain(error.smtp_error)}.") from error
        except ssl.SSLCertVerificationError as error:
            raise ChannelFailed(
                f"The certificate of {where[4:]} is not acceptable: {error.verify_message}.",
                hint="If the authority is your own, name its file in SSL_CERT_FILE.",
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            # smtplib hides a time limit behind "unexpectedly closed".
            if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                raise ChannelFailed(f"{where} did not answer within {self._limit_s:g} s.") from error
            raise ChannelFailed(f"{where} cannot be used: {_said(error)}.") from error


def _said(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return _plain(text)


def _plain(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return " ".join(neutralise(text).split())[:300].rstrip(".")
