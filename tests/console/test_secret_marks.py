"""What looks like a secret, and what does not."""

from __future__ import annotations

import pytest

from console.secret_marks import secret_in


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", "a private key"),
        ("-----BEGIN PRIVATE KEY-----", "a private key"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "a private key"),
        ("sk-ant-api03-" + "aB3_" * 8, "an Anthropic key"),
        ("sk-or-v1-" + "ab12" * 10, "an OpenRouter key"),
        ("key=sk-proj-" + "aB3x" * 10, "an API key"),
        ("ghp_" + "aB3x" * 9, "a GitHub token"),
        ("github_pat_" + "aB3_" * 10, "a GitHub token"),
        ("glpat-" + "aB3x" * 5, "a GitLab token"),
        ("hf_" + "aBcD" * 9, "a Hugging Face token"),
        ("AKIAIOSFODNN7EXAMPLE", "an AWS key"),
        ("AIza" + "aB3_-" * 7, "a Google API key"),
        ("xoxb-123456789012-abcdef", "a Slack token"),
        ("rpa_" + "AB12" * 9, "a RunPod key"),
        ('DB_PASSWORD="hunter2hunter2hunter2"', "a password or key"),
        ("vast_api_key: 0123456789abcdef0123", "a password or key"),
    ],
)
def test_a_secret_is_noticed(text: str, words: str) -> None:
    assert secret_in(f"some lines\n{text}\nand more") == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the private key is at home",
        "-----BEGIN PUBLIC KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI ann@home",
        "task-force sk-learn",
        "API_KEY = os.environ['OPENAI_API_KEY']",
        "password: ask me later please",
        "secret = get_secret_from_the_vault()",
        "a hash 0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_plain_text_is_not(text: str) -> None:
    assert secret_in(text) is None


def test_a_long_text_takes_no_time() -> None:
    assert secret_in("PASSWORD=" + "a" * 300_000) is None
