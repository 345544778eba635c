"""What the documentation's site has beside the pages of this folder: pages from elsewhere, and the reference.

MkDocs calls these functions while it builds. The reference is made from the code, so that it cannot be out of date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
ELSEWHERE = {"benchmarks.md": "benchmarks/README.md", "deploy.md": "deploy/README.md"}

LIBRARY = {
    "Searches": ["automc.campaigns.SearchConfig", "automc.campaigns.run_search", "automc.campaigns.SearchResult"],
    "A server's client": ["automc.client.Client", "automc.workspace.Campaigns", "automc.workspace.Tables"],
    "Recipes": ["automc.recipes.Recipe", "automc.recipes.load_recipe", "automc.recipes.apply_recipe"],
    "Tasks": ["automc.tasks.Task"],
    "Policies and spaces": ["automc.search_spaces.Policy", "automc.search_spaces.SpaceConfig"],
    "Costs": ["automc.costs.CostModel", "automc.costs.Budget", "automc.costs.Projection"],
    "Latency tables": ["automc.latency_tables.LatencyTable", "automc.latency_tables.open_table"],
    "Agents": ["automc.agents.Agent", "automc.agents.Problem"],
    "Errors": ["automc.errors"],
}

CONFIGURATION = (
    "automc.campaigns.config.SearchConfig",
    "automc.search_spaces.SpaceConfig",
    "automc.evaluation.Fidelity",
    "automc.campaigns.config.Rung",
    "automc.compression.Methods",
    "automc.campaigns.config.DeviceConfig",
    "automc.campaigns.config.FineTune",
    "automc.tasks.training.Training",
    "automc.campaigns.config.Compute",
    "automc.campaigns.config.Limits",
    "automc.workspace.Registry",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds pages."""
    for name, path in ELSEWHERE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text()))
    pages = {"cli": command_line(), "configuration": configuration(), "library": library(), "http": http()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Makes links that leave this folder lead to the pages that were added; others become plain text."""
    if page.file.src_uri in ELSEWHERE:
        markdown = re.sub(r"\]\(\.\./docs/([^)]*)\)", r"](\1)", markdown)
    else:
        markdown = re.sub(r"\]\(\.\./(benchmarks|deploy)/README(\.md[^)]*)\)", r"](\1\2)", markdown)
    return re.sub(r"\[([^\]]*)\]\((?:\.\./|examples/)[^)]*\.(?:py|ipynb|yaml)\)", r"`\1`", markdown)


def command_line() -> str:
    """Returns the page of all commands, as their help tells them."""
    import typer.main

    from automc.cli.app import app

    lines = ["# Command line", ""]

    def tell(command: Any, path: str) -> None:  # Typer brings its own Click
        if command.hidden:
            return
        if hasattr(command, "commands"):
            for name, below in command.commands.items():
                tell(below, f"{path} {name}")
            return
        context = command.make_context(path, [], resilient_parsing=True)
        usage = " ".join([path, *command.collect_usage_pieces(context)])
        lines.extend([f"## {path}", "", (command.help or "").strip(), "", "```text", usage, "```", ""])
        rows = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        shown = [(f"`{name}`", what) for name, what in (row for row in rows if row) if not name.startswith("--help")]
        if shown:
            lines.extend(["| option | what it does |", "|---|---|"])
            lines.extend("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in shown)
            lines.append("")

    tell(typer.main.get_command(app), "automc")
    return "\n".join(lines)


def configuration() -> str:
    """Returns the page of the files that users write."""
    head = "# Configuration\n\nThe keys of a search's file, and of a service's registry; any other key is refused.\n\n"
    return head + "\n\n".join(f"::: {name}\n    options:\n      members: false" for name in CONFIGURATION) + "\n"


def library() -> str:
    """Returns the page of the public names."""
    parts = [f"## {title}\n\n" + "\n\n".join(f"::: {name}\n    options:\n      heading_level: 3" for name in names)
             for title, names in LIBRARY.items()]  # fmt: skip
    return "# Library\n\n" + "\n\n".join(parts) + "\n"


def http() -> str:
    """Returns the page of the API's routes, as its OpenAPI document tells them."""
    from automc.service.app import document

    found = document()
    lines = ["# HTTP", "", f"Version {found['info']['version']}. The document itself: `GET /api/v1/openapi.json`.", ""]
    lines.append("Every answer of 400 and above is problem+json (RFC 9457) with a stable `code`.")
    lines.append("")
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in found["paths"].items():
        for method, told in methods.items():
            by_tag.setdefault((told.get("tags") or ["other"])[0], []).append((method.upper(), path, told))
    for tag, routes in by_tag.items():
        lines += [f"## {tag}", "", "| | | answers |", "|---|---|---|"]
        for method, path, told in routes:
            answers = ", ".join(told["responses"])
            what = told.get("description", "").split("\n")[0]
            lines.append(f"| `{method} {path}` | {told['summary']}: {what} | {answers} |")
        lines.append("")
        bodies = [(m, p, t["requestBody"]) for m, p, t in routes if "requestBody" in t]
        for method, path, body in bodies:
            for media, what in body["content"].items():
                example = what.get("example") or next(iter(what.get("examples", {}).values()), {}).get("value")
                if example is not None:
                    text = example if isinstance(example, str) else json.dumps(example, indent=1)
                    lines += [f"`{method} {path}`, {media}:", "", "```", text, "```", ""]
    return "\n".join(lines)
