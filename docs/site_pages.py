"""Pages of the site that are made from elsewhere in the repository: changelog, promises, cards, thinking networks."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from trm_cli.display.live import live_page
from trm_cli.weights.catalogue import find_by_name

TOP = Path(__file__).parents[1]
LIVE = ("sudoku", "maze")  # networks that think on a page of the site
PAGES = {"changelog.md": TOP / "CHANGELOG.md", "security.md": TOP / "SECURITY.md"} | {
    f"cards/{path.parent.name}.md": path for path in sorted((TOP / "checkpoints").glob("*/README.md"))
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    made = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
    made |= {f"{name}.html": live_page(find_by_name(name))[0] for name in LIVE}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links that lead to these files in the repository lead to the pages."""
    markdown = markdown.replace("(../SECURITY.md", "(security.md").replace("(docs/", "(")
    return re.sub(r"\(\.\./checkpoints/([\w-]+)/README\.md", r"(cards/\1.md", markdown)
