"""``tea-obs config``: print the logging configuration that an ``observability:`` block stands for."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError
from ..text import printable_json
from ._terminal import DONE, prepare_json, say, write_json

DESCRIPTION: Final = """\
Print the dictConfig (https://docs.python.org/3/library/logging.config.html) that
an observability block stands for, including the levels of the variable TEA_LOG.
You can edit the output and pass it to logging.config.dictConfig in a program, or
to `tea-obs run --logging` for flows without a block of their own. Nothing that
the file names is imported."""
EPILOG: Final = """\
examples:
  tea-obs config triage.yaml > logging.yaml
  tea-obs run other.yaml --logging logging.yaml
  TEA_LOG=llm=debug tea-obs config triage.yaml --format json
"""

_NOTHING: Final[dict[str, Any]] = {"version": 1, "disable_existing_loggers": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("path", metavar="FLOW.yaml|BLOCK.yaml", type=Path, help="a flow file, or a file with the block alone")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="default: yaml")


def call(args: argparse.Namespace) -> int:
    """Run the command."""
    # Imported here: the other commands do not need yaml, which is slow to import.
    import yaml

    config = _config(args.path)
    prepare_json()
    if args.format == "json":
        write_json(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    else:
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        # YAML escapes characters only in double-quoted text, so a text that needs escapes is dumped again.
        sys.stdout.write(text if printable_json(text) == text else yaml.safe_dump(config, sort_keys=False))
    return DONE


def _config(path: Path) -> dict[str, Any]:
    from ..configuration.config import check_block, dict_config
    from ..flows.loader import place_in_block
    from ..flows.yaml_source import read_file

    source = read_file(path)
    content = source.data
    is_flow = isinstance(content, dict) and ("nodes" in content or "observability" in content)
    if is_flow and "observability" not in content:
        say(f"note: {str(path)!r} has no observability block, so it configures nothing; 'observability: {{}}' is the default one")
        return _NOTHING
    block = content["observability"] if is_flow else content
    try:
        is_on = check_block(block, import_callbacks=False)
    except ConfigurationError as error:
        if not is_flow:  # the file holds the block alone
            source = replace(source, lines={("observability", *place): line for place, line in source.lines.items()})
        line = source.line(place_in_block(source, error.where))
        raise ConfigurationError(f"{path}{'' if line is None else f':{line}'}: {error}") from error
    if not is_on:
        say(f"note: the observability block of {str(path)!r} says enabled: false, so it configures nothing")
        return _NOTHING
    return dict_config(block)
