"""The template language of pipes: `{{String(x, 'd')}}`, `{% if defined(x) %} ... {% end %}`, loops, `set`.

Own tokenizer, parser and evaluator: no text of a user ever becomes code of ours. What a template prints is a SQL
literal, escaped by its type; only `columns`, `column`, `table` and `symbol` print names, which are checked.
Source of the language: Tinybird reference, 'Template functions' and 'Advanced templates'.
"""

from __future__ import annotations

from runyard.dialects.tinybird.template.document import Template, parse
from runyard.dialects.tinybird.template.values import Parameter, TemplateError

__all__ = ["Parameter", "Template", "TemplateError", "parse", "render"]


def render(text: str, given: dict[str, str]) -> str:
    """The SQL of a template; a text without the leading `%` is SQL as it stands. Raises `TemplateError`."""
    return parse(text).render(given)
