"""The table of what works on which model is as it is generated, and no refusal is in raw words."""

from support.what_works import TABLE, table


def test_every_kind_of_model_works_or_is_refused_as_the_table_says() -> None:
    assert TABLE.read_text(encoding="utf-8") == table()
