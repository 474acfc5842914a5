"""Settings: what a file, the environment and flags may say, where a value came from, and what an error tells."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from console.errors import SettingsError
from console.found_endpoints import ollama_url
from console.paths import Paths, find_paths, private_folder
from console.settings import GROUPS, KNOWN, NAMED, ChainEntry, Endpoint, Settings, load_settings, settings_from
from console.settings_kinds import Group, Unfit
from console.settings_lines import lines_of
from console.settings_texts import reference, starter, values_in_force

ROOT = Path(__file__).parents[2]
FULL = """\
# mine
[chat]
model = "general" # the usual one
max_tokens = 4096
between_tokens_s = 15.5

[budget]
day_usd = 2.50
warn_at = [
  0.25,
  0.75,
]

[endpoints.inference]
wire = "ollama"
base_url = "http://127.0.0.1:21434/"
keep_alive = "10m"
first_token_s = 7

[endpoints."vllm.box"]
wire = "openai"
base_url = "https://gpu.example/v1"
key = "box"
price = {input = 0.1, output = 0.2}
headers = {X-Team = "blue"}

[aliases]
"gpt-4.1" = ["inference/qwen3:32b", {model = "openai/gpt-4.1", timeout = 30, retries = 0}]

[routes]
code = "inference/qwen2.5-coder:14b"

[models."qwen3:99b"]
vram_gb = 60

[prices."openai/gpt-4.1"]
input = 2
output = 8.5

[machines.gpu1]
cloud = "vast"
gpu = "RTX 4090"

[machines.lab]
cloud = "ssh"
host = "me@gpu.example:2222"
services = ["ollama", "comfyui"]
ports = {ollama = 11434, ollama2 = 11435, comfyui = 8188}
usd_per_hour = 0.1

[lease]
hard_h = 12
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"HAWSER_HOME": str(tmp_path)})


def load(paths: Paths, written: str | bytes = "", environment: dict[str, str] | None = None, **more: Any) -> Settings:
    if written:
        private_folder(paths.config)
        content = written if isinstance(written, bytes) else written.encode()
        paths.config_file.write_bytes(content)
    return load_settings(paths, environment or {}, **more)


def refusal(paths: Paths, written: str | bytes, environment: dict[str, str] | None = None) -> tuple[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(paths, written, environment)
    return caught.value.text, caught.value.hint or ""


def test_nothing_at_all_gives_the_defaults_and_a_local_ollama(paths: Paths) -> None:
    found = load(paths)

    assert found.chat.model is None
    assert found.budget.day_usd == Decimal(5)
    assert found.budget.warn_at == (Decimal("0.5"), Decimal("0.8"))
    assert list(found.endpoints) == ["ollama"]
    assert found.routes["code"] == (ChainEntry("deepseek-coder-v2"),)
    assert found.origin("chat.model").kind == "default"


def test_a_full_file_is_read_into_types(paths: Paths) -> None:
    found = load(paths, FULL)

    inference, box = found.endpoints["inference"], found.endpoints["vllm.box"]
    assert (inference.base_url, inference.is_loopback, inference.first_token_s) == ("http://127.0.0.1:21434", True, 7.0)
    assert inference.between_tokens_s == 15.5, "an endpoint takes over what the chat group says"
    assert (box.price_input, box.price_output, box.key, box.is_loopback) == (
        Decimal("0.1"),
        Decimal("0.2"),
        "box",
        False,
    )
    assert box.headers == {"X-Team": "blue"}
    assert found.aliases["gpt-4.1"] == (
        ChainEntry("inference/qwen3:32b"),
        ChainEntry("openai/gpt-4.1", timeout_s=30.0, retries=0),
    )
    assert found.routes["quick"] == (ChainEntry("mistral:7b"),)
    assert found.models["qwen3:99b"].vram_gb == 60
    assert found.prices["openai/gpt-4.1"].output == Decimal("8.5")
    rented, lab = found.machines["gpu1"], found.machines["lab"]
    assert (rented.cloud, rented.host, rented.gpu) == ("vast", None, "RTX 4090")
    assert (lab.host, lab.services, lab.usd_per_hour) == ("me@gpu.example:2222", ("ollama", "comfyui"), Decimal("0.1"))
    assert lab.ports == {"ollama": 11434, "ollama2": 11435, "comfyui": 8188}
    assert (found.lease.hard_h, found.rag.top_k) == (Decimal(12), 5)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("chat.model", "flag", "flag"),
        ("chat.max_tokens", "environment", "HAWSER_CHAT_MAX_TOKENS"),
        ("budget.warn_at", "file", "config.toml line 9"),
        ("endpoints.vllm.box.price.input", "file", "config.toml line 24"),
        ("endpoints.vllm.box.between_tokens_s", "file", "config.toml line 5"),
        ("endpoints.inference.load_s", "default", "default"),
        ("aliases.gpt-4.1", "file", "config.toml line 28"),
        ("endpoints.openai.base_url", "environment", "OPENAI_API_KEY"),
        ("chat.save", "default", "default"),
    ],
)
def test_every_value_knows_where_it_came_from(paths: Paths, name: str, kind: str, words: str) -> None:
    environment = {"HAWSER_CHAT_MODEL": "b", "HAWSER_CHAT_MAX_TOKENS": "9", "OPENAI_API_KEY": "k"}

    found = load(paths, FULL, environment, flags={"chat.model": "a", "chat.save": None})

    assert (found.origin(name).kind, str(found.origin(name))) == (kind, words)


def test_a_flag_goes_before_the_environment_and_that_before_the_file(paths: Paths) -> None:
    environment = {"HAWSER_CHAT_MODEL": "from-environment"}

    assert load(paths, '[chat]\nmodel = "from-file"').chat.model == "from-file"
    assert load(paths, environment=environment).chat.model == "from-environment"
    assert load(paths, environment=environment, flags={"chat.model": "typed"}).chat.model == "typed"
    assert load(paths, environment={"HAWSER_CHAT_MODEL": ""}).chat.model == "from-file", "empty counts as not set"


def test_the_environment_speaks_every_kind(paths: Paths) -> None:
    found = load(
        paths,
        environment={
            "HAWSER_CHAT_SAVE": "no",
            "HAWSER_CHAT_LOAD_S": "12.5",
            "HAWSER_BUDGET_DAY_USD": "1.25",
            "HAWSER_BUDGET_WARN_AT": "0.1, 0.9",
            "HAWSER_LOG_LEVEL": "debug",
        },
    )

    assert (found.chat.save, found.chat.load_s, found.log.level) == (False, 12.5, "debug")
    assert found.budget.day_usd == Decimal("1.25")
    assert found.budget.warn_at == (Decimal("0.1"), Decimal("0.9"))


@pytest.mark.parametrize(
    ("written", "line", "words", "hint"),
    [
        ('[chat]\nmodle = "x"', 2, "chat.modle is not a setting", "'model'"),
        ("[chta]", 1, "chta is not a group of settings", "'chat'"),
        ('chat = "x"', 1, "chat must be a table", ""),
        ("[chat]\n\nmax_tokens = 0", 3, "chat.max_tokens must be a whole number from 1 to 10000000, not 0", ""),
        ("[chat]\nmax_tokens = true", 2, "must be a whole number", ""),
        ("[chat]\nmax_tokens = 1.5", 2, "must be a whole number", ""),
        ("[chat]\nload_s = inf", 2, "must be a number of seconds", ""),
        ("[chat]\nload_s = nan", 2, "must be a number of seconds", ""),
        ('[chat]\nsave = "yes"', 2, "chat.save must be true or false, not 'yes'", ""),
        ('[chat]\nmodel = "a\\u001b[31m"', 2, "chat.model must be a text", ""),
        ('[chat]\nafter_break = "restrat"', 2, "must be one of", "'restart'"),
        ("[budget]\nwarn_at = [0.8, 0.5]", 2, "a rising list", ""),
        ("[budget]\nday_usd = -1", 2, "an amount in USD from 0", ""),
        ('[endpoints.a]\nwire = "openai"', 1, "endpoints.a needs the setting 'base_url'", ""),
        ('[endpoints.a]\nwire = "grpc"\nbase_url = "http://x"', 2, "must be one of", ""),
        ('[endpoints.a]\nwire = "openai"\nbase_url = "gpu:80"', 3, "must be an address", ""),
        ('[endpoints.a]\nwire = "openai"\nbase_url = "http://x:99999"', 3, "must be an address", ""),
        ('[endpoints.a]\nwire = "openai"\nbase_url = "http://x/?key=1"', 3, "without '?'", ""),
        ('[endpoints.a]\nwire = "openai"\nbase_url = "http://u:p@x"', 3, "user name or password", "hawser key set"),
        ('[endpoints."a b"]\nwire = "openai"\nbase_url = "http://x"', 1, "must be a name of letters", ""),
        (
            '[endpoints.a]\nwire = "openai"\nbase_url = "http://x"\nprice = 3',
            4,
            "endpoints.a.price must be a table",
            "",
        ),
        (
            '[endpoints.a]\nwire = "openai"\nbase_url = "http://x"\nprice = {inptu = 3}',
            4,
            "is not a setting",
            "price.input",
        ),
        ('[endpoints.a]\nwire="ollama"\nbase_url="http://x"\nkeep_alive="10 minutes"', 4, "must be a duration", ""),
        ("[aliases]\nx = []", 2, "aliases.x must be a model name", ""),
        ("[aliases]\nx = {model = 'a', retires = 1}", 2, "aliases.x.retires is not a setting", "'retries'"),
        ("[routes]\ncod = 'x'", 2, "routes.cod is not a setting", "'code'"),
        ('[prices."a/b"]\ninput = 1', 1, "needs the setting 'output'", ""),
        ("machines = 3", 1, "machines must be a table", ""),
        ("[machines.lab]\nhost = 'a'", 1, "needs the setting 'cloud'", ""),
        ("[machines.lab]\ncloud = 'ssh'", 1, 'machines.lab needs a host, since its cloud is "ssh"', "host ="),
        ("[machines.lab]\ncloud = 'vast'\nhost = 'a'", 1, "has a host, but is not of cloud", "host ="),
        ("[machines.lab]\ncloud = 'vst'", 2, "machines.lab.cloud names no cloud that there is: 'vst'", "Did you"),
        ("[clouds.second]\nkey = 'second'", 1, "clouds.second needs the setting 'kind'", "tensordock"),
        ("[clouds.ssh]\nkind = 'vast'", 1, "clouds.ssh is the name for machines of your own", ""),
        ("[machines.lab]\ncloud = 'vast'\nstop = 'off'", 3, "machines.lab.stop is for machines of cloud", ""),
        ("[idle]\nstop_after_min = 0", 2, "idle.stop_after_min must be a number of minutes", ""),
        ("[lease]\nwake_hours = '8-23'", 2, "lease.wake_hours must be hours of the day", ""),
        ("[machines.lab]\ncloud = 'vast'\ngpus = 1", 3, "machines.lab.gpus is not a setting", ""),
        ("[machines.lab]\ncloud = 'vast'\nports = {a = 0}", 3, "machines.lab.ports.a must be a whole number", ""),
        ("[machines.lab]\ncloud = 'vast'\nports = {a = 1, b = 1}", 3, "is 1, which another service has as well", ""),
        ("[machines.'a b']\ncloud = 'vast'", 1, "must be a name of letters", ""),
        ("[chat]\nmodel = ", 2, "this is not TOML", "config edit"),
        ("[chat]\n[chat]", 2, "this is not TOML", "config edit"),
        ('[chat]\nmodel = "x', 2, "this is not TOML", "config edit"),
    ],
)
def test_an_error_names_file_line_setting_and_what_to_do(
    paths: Paths, written: str, line: int, words: str, hint: str
) -> None:
    text, found_hint = refusal(paths, written)

    assert text.startswith(f"{paths.config_file}:{line}: ")
    assert words in text
    assert hint in found_hint


@pytest.mark.parametrize(
    ("variable", "value", "words", "hint"),
    [
        ("HAWSER_CHAT_MODLE", "x", "HAWSER_CHAT_MODLE is not a setting", "HAWSER_CHAT_MODEL"),
        ("HAWSER_CHAT_MAX_TOKENS", "many", "HAWSER_CHAT_MAX_TOKENS must be a whole number", ""),
        ("HAWSER_CHAT_SAVE", "maybe", "true or false", ""),
        ("HAWSER_BUDGET_DAY_USD", "1e", "an amount in USD", ""),
        ("HAWSER_BUDGET_WARN_AT", "0.5,x", "a number", ""),
    ],
)
def test_an_error_in_the_environment_names_the_variable(
    paths: Paths, variable: str, value: str, words: str, hint: str
) -> None:
    text, found_hint = refusal(paths, "", {variable: value})

    assert words in text
    assert hint in found_hint


@pytest.mark.parametrize("value", ["sk-abcdefgh12345678", "Bearer abc", "x" * 50, "hf_abcdefgh", "pass word"])
def test_a_key_in_the_settings_is_refused_and_not_repeated(paths: Paths, value: str) -> None:
    written = f'[endpoints.a]\nwire = "openai"\nbase_url = "http://x"\nkey = "{value}"'

    text, hint = refusal(paths, written)

    assert value not in text
    assert value not in hint
    assert "hawser key set" in hint


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_a_header_that_carries_a_key_is_refused(paths: Paths, header: str) -> None:
    written = f'[endpoints.a]\nwire = "openai"\nbase_url = "http://x"\nheaders = {{{header} = "secret-value"}}'

    text, _ = refusal(paths, written)

    assert "holds a key" in text
    assert "secret-value" not in text


def test_headers_are_not_shown(paths: Paths) -> None:
    found = load(paths, FULL)

    shown = {name: value for name, value, _ in values_in_force(found)}

    assert shown["endpoints.vllm.box.headers"] == {"X-Team": "…"}
    assert "blue" not in repr(found.endpoints["vllm.box"])


def test_a_file_that_cannot_be_read_is_named(paths: Paths) -> None:
    paths.config_file.mkdir(parents=True)

    with pytest.raises(SettingsError, match="is a folder"):
        load_settings(paths, {})


def test_a_pipe_in_the_place_of_the_file_does_not_hang(paths: Paths) -> None:
    private_folder(paths.config)
    os.mkfifo(paths.config_file)

    with pytest.raises(SettingsError, match="is not a file"):
        load_settings(paths, {})


def test_a_huge_file_is_refused_without_being_read(paths: Paths) -> None:
    text, _ = refusal(paths, b"#" * (1 << 20) + b"#")

    assert "1,048,577 bytes" in text


def test_text_that_is_not_utf8_is_refused_with_its_line(paths: Paths) -> None:
    text, _ = refusal(paths, b"[chat]\n# caf\xe9\n")

    assert text == f"{paths.config_file}:2: the text is not UTF-8."


def test_a_byte_order_mark_and_windows_lines_are_read(paths: Paths) -> None:
    assert load(paths, b'\xef\xbb\xbf[chat]\r\nmodel = "a"\r\n').chat.model == "a"


def test_paid_services_are_there_when_their_key_is(paths: Paths) -> None:
    environment = {"OPENAI_API_KEY": "a", "HAWSER_KEY_OPENROUTER": "b", "ANTHROPIC_API_KEY": " "}

    found = load(paths, environment=environment)

    assert list(found.endpoints) == ["ollama", "openai", "openrouter"]
    assert found.endpoints["openai"].key == "openai"
    assert str(found.origin("endpoints.openrouter")) == "HAWSER_KEY_OPENROUTER"


def test_a_stored_key_brings_its_service_along_without_the_keyring(paths: Paths) -> None:
    private_folder(paths.config)
    paths.keys_file.write_text('keyring = ["anthropic"]\n[keys]\nopenai = "x"\n')
    paths.keys_file.chmod(0o600)

    found = load(paths)

    assert {"anthropic", "openai"} <= found.endpoints.keys()


def test_another_base_url_in_the_environment_does_not_redirect_a_key(paths: Paths) -> None:
    found = load(paths, environment={"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": "http://elsewhere.example/v1"})

    assert found.endpoints["openai"].base_url == "https://api.openai.com/v1"


def test_a_table_of_a_known_name_needs_only_what_differs(paths: Paths) -> None:
    found = load(paths, "[endpoints.openai]\nprice = {input = 1, output = 2}")

    openai = found.endpoints["openai"]
    assert (openai.wire, openai.base_url, openai.key) == ("openai", "https://api.openai.com/v1", "openai")


def test_a_known_name_at_another_address_does_not_get_the_key_unasked(paths: Paths) -> None:
    elsewhere = '[endpoints.openai]\nbase_url = "http://proxy.example/v1"'

    assert load(paths, elsewhere).endpoints["openai"].key is None
    assert load(paths, f'{elsewhere}\nkey = "openai"').endpoints["openai"].key == "openai"


def test_a_configured_ollama_takes_the_place_of_the_usual_one(paths: Paths) -> None:
    found = load(paths, '[endpoints.box]\nwire = "ollama"\nbase_url = "http://127.0.0.1:1"', {"OLLAMA_HOST": "h:1"})

    assert list(found.endpoints) == ["box"]


def test_without_discovery_only_configured_endpoints_are_there(paths: Paths) -> None:
    found = load(paths, environment={"OPENAI_API_KEY": "a", "OLLAMA_HOST": "gpu"}, discover=False)

    assert found.endpoints == {}


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu", "http://gpu:11434"),
        ("gpu:80", "http://gpu:80"),
        (":1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:99", "http://127.0.0.1:99"),
        ("http://gpu", "http://gpu:80"),
        ("https://gpu.example", "https://gpu.example:443"),
        ("https://gpu.example/ollama/", "https://gpu.example:443/ollama"),
        ("::1", "http://[::1]:11434"),
        ("[::]:99", "http://[::1]:99"),
        (' "gpu:1" ', "http://gpu:1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(written: str, url: str) -> None:
    assert ollama_url(written) == url


@pytest.mark.parametrize("written", ["gpu:0", "gpu:x", "ftp://gpu", "u:p@gpu:1", "a b"])
def test_an_unusable_ollama_host_is_noted_and_not_replaced_by_a_guess(paths: Paths, written: str) -> None:
    with pytest.raises(Unfit):
        ollama_url(written)

    found = load(paths, environment={"OLLAMA_HOST": written})

    assert "ollama" not in found.endpoints
    assert "OLLAMA_HOST" in found.notes[0]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:8", True),
        ("http://a.localhost", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost.example", False),
        ("https://10.0.0.1", False),
    ],
)
def test_loopback_is_told_by_the_host_alone(url: str, expected: bool) -> None:
    assert Endpoint("a", "openai", url).is_loopback is expected


def test_an_unknown_endpoint_names_the_nearest(paths: Paths) -> None:
    found = load(paths, FULL)

    with pytest.raises(SettingsError) as caught:
        found.endpoint("infernece")

    assert caught.value.hint == "Did you mean 'inference'?"


def test_groups_are_frozen_values() -> None:
    one, same = ChainEntry("a", retries=1), ChainEntry(target="a", retries=1)

    assert one == same
    assert hash(one) == hash(same)
    assert one.replace(retries=2) != one
    with pytest.raises(AttributeError):
        one.retries = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        ChainEntry(model="a")  # type: ignore[call-arg]


def test_lines_are_found_through_every_layout() -> None:
    written = '''a = 1
"b.c" = """
[no] # no
x = 2"""
[ d . "e.f" ] # [g]
h = [ # [
  "]", '#',
]
i.j = {k = 1}
[[l]]
m = "=" # n = 1
'''

    lines = lines_of(written)

    assert lines[("a",)] == 1
    assert lines[("b.c",)] == 2
    assert lines[("d", "e.f", "h")] == 6
    assert lines[("d", "e.f", "i", "j")] == 9
    assert lines[("l", "m")] == 11
    assert not {("no",), ("x",), ("g",)} & lines.keys()


def test_the_documentation_is_current() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()

    assert written == reference(), "run: python -m console.settings_texts > docs/settings.md"


def test_the_starter_file_loads_and_its_lines_take_effect(paths: Paths) -> None:
    lines = starter().splitlines()
    awake = [line[2:] if line.startswith(("# [", '# "')) or " = " in line else line for line in lines]

    settings_from(starter(), paths, {})
    found = settings_from("\n".join(line for line in awake if "…" not in line), paths, {})

    assert found.chat == load(paths).chat
    assert found.endpoints["inference"].keep_alive == "10m"
    assert found.aliases["gpt-4"][1].retries == 1


def test_every_setting_has_a_sentence() -> None:
    groups: list[type[Group]] = [*GROUPS.values(), *NAMED.values(), ChainEntry]

    assert all(field.sentence.endswith(".") for group in groups for field in group.fields.values())


def test_loading_leaves_heavy_modules_alone(tmp_path: Path) -> None:
    home = tmp_path / "config"
    home.mkdir()
    (home / "config.toml").write_text(FULL)
    program = (
        "import os, sys; from console.settings import load_settings; from console.keys import Keys\n"
        "from console.paths import find_paths; paths = find_paths(os.environ)\n"
        "s = load_settings(paths, os.environ); Keys(paths, os.environ).for_endpoint(s.endpoints['inference'])\n"
        "print(*sys.modules)"
    )
    environment = {"PATH": os.environ["PATH"], "HAWSER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert not {"keyring", "tomlkit", "difflib", "console.settings_lines", "pydantic"} & set(done.stdout.split())


_ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8) | some.datetimes(),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
_GROUPS: list[type[Group]] = [*GROUPS.values(), *NAMED.values(), ChainEntry]
_NAMES = sorted({key for group in _GROUPS for key in group.fields} | {"a", "b c"})
_DOCUMENTS = some.dictionaries(
    some.sampled_from(KNOWN) | some.text(max_size=5),
    some.dictionaries(
        some.sampled_from(_NAMES), _ANYTHING | some.dictionaries(some.sampled_from(_NAMES), _ANYTHING, max_size=4)
    )
    | _ANYTHING,
    max_size=4,
)


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nothing(item) for item in value if item is not None]
    return value


_NOWHERE = find_paths({"HAWSER_HOME": "/nonexistent/hawser"})


def loaded_or_refused(written: str) -> Settings | str:
    try:
        return settings_from(written, _NOWHERE, {})
    except SettingsError as error:
        return error.text


@given(_DOCUMENTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_document_loads_or_is_refused_in_words(document: dict[str, Any]) -> None:
    found = loaded_or_refused(tomlkit.dumps(_without_nothing(document)))

    if isinstance(found, Settings):
        assert all(origin.kind in ("file", "default") for _, _, origin in values_in_force(found))
    else:
        assert str(_NOWHERE.config_file) in found


@given(some.text(max_size=200) | some.lists(some.sampled_from(list("[]{}=\"'#.,\n ab1\\")), max_size=60).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_loads_or_is_refused_in_words(written: str) -> None:
    found = loaded_or_refused(written)

    if isinstance(found, str):
        assert found.startswith(str(_NOWHERE.config_file))
    else:
        assert all(1 <= line <= written.count("\n") + 1 for line in lines_of(written).values())


@pytest.mark.parametrize(
    "written", ["a = " + "[" * 5000, "a = " + "9" * 5000, "a = 1e99999999999999999999", "a.b." * 3000]
)
def test_text_made_to_break_a_parser_is_refused_in_words(paths: Paths, written: str) -> None:
    text, _ = refusal(paths, written)

    assert str(paths.config_file) in text


@pytest.mark.parametrize(
    ("base_url", "own"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://192.168.1.20:11434", True),
        ("http://10.0.0.3:8000/v1", True),
        ("http://172.20.0.2", True),
        ("http://172.32.0.2", False),
        ("http://100.101.102.103:11434", True),
        ("http://[fd00::7]:11434", True),
        ("http://[2001:db8::7]:11434", False),
        ("http://gpubox:11434", True),
        ("http://gpubox.local:11434", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8", False),
    ],
)
def test_a_machine_in_a_private_network_is_the_users_own(base_url: str, own: bool) -> None:
    assert Endpoint(name="box", wire="ollama", base_url=base_url).is_own is own


# Machines as endpoints

MACHINE = '[machines.gpubox]\ncloud = "ssh"\nhost = "me@gpu.example:22"\nservices = {}\n'


def test_the_first_service_for_chats_has_the_name_of_its_machine(paths: Paths) -> None:
    services = '["comfyui", "vllm", "ollama", { name = "llamacpp", port = 8081, wire = "openai" }]'

    found = load(paths, MACHINE.format(services)).endpoints

    assert {
        name: (each.wire, each.base_url, each.machine, each.service)
        for name, each in found.items()
        if each.machine is not None
    } == {
        "gpubox": ("openai", "http://127.0.0.1:8000/v1", "gpubox", "vllm"),
        "gpubox.ollama": ("ollama", "http://127.0.0.1:11434", "gpubox", "ollama"),
        "gpubox.llamacpp": ("openai", "http://127.0.0.1:8081/v1", "gpubox", "llamacpp"),
    }
    assert found["gpubox"].is_own, "tokens cost nothing there"


def test_a_machine_takes_over_the_limits_of_chats_and_tells_where_it_stands(paths: Paths) -> None:
    found = load(paths, "[chat]\nfirst_token_s = 7\n" + MACHINE.format('["ollama"]'))

    assert found.endpoints["gpubox"].first_token_s == 7
    assert str(found.origin("endpoints.gpubox.wire")) == "config.toml line 3"
    assert str(found.origin("endpoints.gpubox.first_token_s")) == "config.toml line 2"
    assert not [name for name, *_ in values_in_force(found) if name.startswith("endpoints.")], "it is set elsewhere"


def test_a_machine_without_a_service_for_chats_is_no_endpoint(paths: Paths) -> None:
    assert "gpubox" not in load(paths, MACHINE.format('["comfyui"]')).endpoints


def test_a_rented_machine_for_answers_has_an_ollama(paths: Paths) -> None:
    found = load(paths, '[machines.gpu1]\ncloud = "vast"\nrecipe = "inference"\nmodels = ["qwen3:8b"]\n').endpoints

    assert (found["gpu1"].service, found["gpu1"].expected) == ("ollama", ("qwen3:8b",))


def test_the_ollama_of_a_machine_stands_in_for_the_one_that_is_there_by_itself(paths: Paths) -> None:
    assert "ollama" in load(paths, MACHINE.format('["comfyui"]')).endpoints
    assert "ollama" not in load(paths, MACHINE.format('["ollama"]')).endpoints


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            MACHINE.format('["ollama"]') + '[endpoints.gpubox]\nwire = "ollama"\nbase_url = "http://127.0.0.1:1"\n',
            "config.toml:1: machines.gpubox would be the endpoint 'gpubox', and [endpoints.gpubox] is there as well.",
        ),
        (
            MACHINE.format('["ollama", "vllm"]') + '[machines."gpubox.vllm"]\ncloud = "vast"\n',
            "config.toml:1: machines.gpubox has a second service for chats, which would be the endpoint 'gpubox.vllm'; "
            "a machine has that name.",
        ),
        (
            MACHINE.format('["ollama", { name = "a/b", port = 1, wire = "openai" }]'),
            "config.toml:1: machines.gpubox has the service 'a/b', whose name no endpoint can have.",
        ),
        (
            MACHINE.format('[{ name = "x", port = 1, wire = "gopher" }]'),
            "config.toml:4: machines.gpubox.services does not fit: the wire of the service 'x' is one of ollama, "
            "openai, anthropic, not 'gopher'.",
        ),
    ],
    ids=["endpoint", "machine", "slash", "wire"],
)
def test_names_of_machines_that_clash_are_refused(paths: Paths, written: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(paths, written)

    assert caught.value.text.endswith(sentence)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("chunk_tokens = 100\noverlap_tokens = 51", "overlap_tokens must not be more than half of chunk_tokens"),
        ("lexical_weight = 0\nvector_weight = 0", "must not both be 0"),
        ("top_k = 0", "a whole number from 1 to 100"),
        ('embedder = ""', "the name of a model"),
        ('chroma_url = "chroma:8000"', "must be an address"),
    ],
)
def test_documents_that_could_not_be_found_are_refused_as_settings(paths: Paths, table: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings_from(f"[rag]\n{table}", paths, {})

    assert words in error.value.text


def test_words_and_meaning_weigh_what_was_measured(paths: Paths) -> None:
    from rag.retrieve import MEASURED

    chosen = settings_from("", paths, {}).rag

    assert (chosen.vector_weight, chosen.lexical_weight) == (
        Decimal(str(MEASURED.vectors)),
        Decimal(str(MEASURED.words)),
    )


def test_clouds_keys_belong_to_somebody_whatever_they_are_called(paths: Paths) -> None:
    from console.commands.key import _users

    found = _users(settings_from('[clouds.vast]\nkey = "rent"\n[clouds.lambda]\nkey = "cmd:pass lambda"', paths, {}))

    assert found["rent"] == ["vast"]
    assert not any("lambda" in users for users in found.values())
