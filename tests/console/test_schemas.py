import pytest

from console.chat.schemas import check_schema, find_fault
from console.errors import UsageError

SHIP = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def test_an_answer_that_fits_has_no_fault() -> None:
    assert find_fault(SHIP, '{"name": "Vega"}') == ('{"name": "Vega"}', None)


def test_json_in_a_code_block_is_found() -> None:
    assert find_fault(SHIP, 'Here:\n```json\n{"name": "Vega"}\n```\n') == ('{"name": "Vega"}\n', None)


def test_a_fault_says_where_it_is() -> None:
    assert find_fault(SHIP, '{"name": 3}')[1] == "at $.name: 3 is not of type 'string'"


def test_an_answer_that_is_not_json_says_so() -> None:
    assert "not JSON" in (find_fault(SHIP, "Sure! Here you are")[1] or "")


@pytest.mark.parametrize("schema", [[], "x", {"type": "nonsense"}])
def test_what_is_no_schema_is_refused(schema: object) -> None:
    with pytest.raises(UsageError):
        check_schema(schema, "ship.json")


def test_a_reference_to_elsewhere_is_refused_without_looking_there() -> None:
    with pytest.raises(UsageError, match="refers to something"):
        find_fault({"$ref": "https://example.invalid/schema"}, "{}")
