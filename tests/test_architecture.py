"""Who may import whom. A new module is let in by adding it to the table, with what it needs and nothing more."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class May:
    """What a package may import besides the standard library: our own packages, and those of others."""

    ours: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


def may(ours: str = "", others: str = "") -> May:
    return May(frozenset(f"bot.{name}" for name in ours.split()), frozenset(others.split()))


PERMITTED = {
    "bot.__main__": may("cli"),
    "bot.bootstrap": may(
        "core dify errors listeners logs services settings slack store timers transports",
        "aiohttp httpx slack_bolt slack_sdk structlog",
    ),
    "bot.cli": may("bootstrap errors logs manifest playground preview settings", "typer"),
    "bot.core": may("core errors"),
    # The order of the core: values, what happens to them, the rules, what the rules need of the outside.
    "bot.core.model": may("errors"),
    "bot.core.events": may("core.model"),
    "bot.core.effects": may("core.model"),
    "bot.core.files": may("core.model"),
    "bot.core.out_files": may("core.model core.files"),
    "bot.core.attaching": may("core.model core.files core.effects errors"),
    "bot.core.giving_out": may("core.model core.events core.effects core.out_files errors"),
    "bot.core.lifecycle": may(
        "core.model core.events core.effects core.attaching core.giving_out core.out_files errors"
    ),
    "bot.dify": may("core dify errors", "pydantic"),
    "bot.dify.client": may("core dify errors", "aiohttp httpx httpx_aiohttp httpx_sse pydantic"),
    "bot.errors": may(),
    "bot.listeners": may(
        "core errors listeners services slack.messages.chat slack.ids slack.messages.message slack.messages.notices "
        "slack.payloads slack.starts.window slack.forms.window",
        "slack_bolt slack_sdk structlog",
    ),
    "bot.logs": may("errors", "structlog"),
    "bot.manifest": may("errors", "yaml"),
    # Both simulated platforms stand alone, so that they cannot share a mistake with the bot.
    "bot.playground": may("playground", "aiohttp pydantic rich"),
    "bot.playground.page.own_forms": may("playground", "pydantic yaml"),
    "bot.preview": may("core dify errors slack", "pydantic"),
    "bot.services": may("core errors services", "structlog"),
    "bot.services.outcomes": may("core errors"),
    "bot.settings": may("core.reminding errors", "pydantic pydantic_settings"),
    "bot.slack": may("core errors slack", "aiohttp markdown_it pydantic slack_sdk structlog"),
    "bot.store": may("core errors store", "alembic pydantic sqlalchemy structlog"),
    "bot.timers": may("core errors", "apscheduler"),
    "bot.transports": may("errors settings slack.delivery.failures", "aiohttp slack_bolt slack_sdk structlog"),
}

LAZY = {"bot.bootstrap", "bot.playground"}
"""Only imported inside of functions, by the command that needs them."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "bot").rglob("*.py"))
}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def permit_of(module: str) -> May | None:
    """Return the most precise entry of the table for a module."""
    packages = [package for package in PERMITTED if within(module, package)]
    return PERMITTED[max(packages, key=len)] if packages else None


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", [module for module in MODULES if module != "bot"])
def test_a_module_imports_what_the_table_permits(module: str) -> None:
    permit = permit_of(module)
    assert permit is not None, f"{module} is new: add it to PERMITTED in {__file__}, with what it may import"
    for name in imports_of(parsed(module)):
        if within(name, "bot"):
            permitted = any(within(name, package) for package in permit.ours)
        else:
            permitted = name.partition(".")[0] in permit.others | sys.stdlib_module_names
        assert permitted, f"{module} may not import {name}"


def test_the_package_itself_imports_nothing() -> None:
    assert list(imports_of(parsed("bot"))) == []


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_that_needs_it_loads_the_bot_or_the_playground(module: str) -> None:
    top_level = ast.Module([node for node in parsed(module).body if not within_function(node)], [])
    for package in LAZY:
        if not within(module, package):
            assert not any(within(name, package) for name in imports_of(top_level))


def within_function(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@pytest.mark.parametrize("adapter", ["dify", "slack", "store"])
def test_no_adapter_knows_another(adapter: str) -> None:
    others = {"bot.dify", "bot.slack", "bot.store"} - {f"bot.{adapter}"}
    entries = [permit for package, permit in PERMITTED.items() if within(package, f"bot.{adapter}")]
    assert not any(within(name, other) for permit in entries for name in permit.ours for other in others)


def test_only_the_command_line_knows_the_composition_root_and_the_playground() -> None:
    knowing = {
        package
        for package, permit in PERMITTED.items()
        if permit.ours & LAZY and not any(within(package, lazy) for lazy in LAZY)
    }
    assert knowing == {"bot.cli"}
