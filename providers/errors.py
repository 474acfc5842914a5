"""What can go wrong outside, as a caller would treat it.

    ProviderError
    ├── Unreachable        nothing answered: refused, no such name, no route, reset before the answer
    │   └── TlsFailed      something answered, but its certificate or handshake is not acceptable
    ├── TimedOut           a phase took longer than its limit (connect, first_token, between_tokens, total)
    ├── KeyTrouble
    │   ├── KeyMissing     the service needs a key and none was given
    │   └── KeyRefused     the service does not accept the key
    ├── RateLimited        too many requests; `retry_after_s` says when to come back, if the service told
    ├── OutOfCredit        the account has no money or quota left
    ├── ModelMissing       the service does not have the model
    ├── ContextTooLong     the prompt does not fit into the model's window
    ├── RequestRefused     the service says the request itself is wrong
    ├── ServiceFailed      the service broke (5xx, or an error object inside an answer)
    ├── MachineTrouble     a cloud refused something about a machine; its kinds are in clouds/base.py
    ├── BadReply           what came back is not the protocol (HTML page, garbage, a line without end)
    └── StreamBroken       the answer ended without its closing word

Each has a plain sentence as its text and may have a hint that names the next step. `may_retry` says whether the same
request may be sent again as it is; a caller still decides whether it should.
"""

from __future__ import annotations


class ProviderError(Exception):
    may_retry = False

    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


class Unreachable(ProviderError):
    may_retry = True


class TlsFailed(Unreachable):
    may_retry = False


class TimedOut(ProviderError):
    may_retry = True

    def __init__(self, text: str, *, phase: str, limit_s: float, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.phase = phase
        self.limit_s = limit_s


class KeyTrouble(ProviderError):
    def __init__(self, text: str, *, host: str = "NAME", hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.host = host
        """The name of the host that wants a key."""


class KeyMissing(KeyTrouble):
    pass


class KeyRefused(KeyTrouble):
    pass


class RateLimited(ProviderError):
    may_retry = True

    def __init__(self, text: str, *, retry_after_s: float | None = None, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.retry_after_s = retry_after_s


class OutOfCredit(ProviderError):
    pass


class ModelMissing(ProviderError):
    pass


class ContextTooLong(ProviderError):
    pass


class RequestRefused(ProviderError):
    pass


class ServiceFailed(ProviderError):
    may_retry = True

    def __init__(
        self, text: str, *, status: int | None = None, retry_after_s: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(text, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s


class MachineTrouble(ProviderError):
    pass


class BadReply(ProviderError):
    pass


class StreamBroken(ProviderError):
    may_retry = True
