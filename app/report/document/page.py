"""A report as one HTML page that needs nothing beside it: no network, no script; light, dark, and on paper."""

from __future__ import annotations

from app.report.document import svg
from app.report.document.record import (
    Block,
    Code,
    Curves,
    Formulas,
    Heading,
    Heat,
    Items,
    Points,
    Report,
    Section,
    Table,
    Text,
)
from app.report.document.svg import escaped

_LIGHT = (
    "--ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --shade: #f4f6f8; --rule: #d5dbe1; --warn: #9a5b00; "
    "--c0: #0b62b8; --c1: #c2500a; --c2: #0f7f4f; --c3: #a8327f; --c4: #6d5bd0; --c5: #8a6d00; --c6: #00808a; --c7: #b3261e;"
)
_DARK = (
    "--ink: #e3e8ee; --soft: #9aa6b2; --paper: #12161b; --shade: #1b2128; --rule: #333c46; --warn: #f0b45a; "
    "--c0: #6cb2ff; --c1: #ff9a5c; --c2: #58d09a; --c3: #f08bcb; --c4: #b0a4ff; --c5: #e0c04d; --c6: #4fd4de; --c7: #ff8a80;"
)
"""Of the eight colours each can be told from the others, and from the paper, also by readers who see few."""
_STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
body {{ margin: 0 auto; padding: 1.5rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }}
h1 {{ line-height: 1.2; margin-bottom: 0.2em; }}
h2 {{ margin-top: 2em; border-bottom: 1px solid var(--rule); padding-bottom: 0.2em; }}
.subtitle, figcaption, caption {{ color: var(--soft); }}
.warning {{ border-left: 4px solid var(--warn); background: var(--shade); padding: 0.5em 1em; }}
.wide {{ overflow-x: auto; margin: 1em 0; }}
table {{ border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; padding-bottom: 0.4em; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.2em 0.8em 0.2em 0; border-bottom: 1px solid var(--rule); }}
th {{ border-bottom: 2px solid var(--soft); }}
.right {{ text-align: right; }}
pre {{ background: var(--shade); padding: 0.8em 1em; overflow-x: auto; font: 0.85rem/1.45 ui-monospace, monospace; }}
dl {{ display: grid; grid-template-columns: max-content auto; gap: 0.3em 1.2em; }}
dt, dd {{ margin: 0; }}
dt {{ font-style: italic; }}
figure {{ margin: 1.5em 0; overflow-x: auto; }}
svg {{ display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }}
svg text {{ fill: var(--ink); }}
svg text.small {{ fill: var(--soft); font-size: 11px; }}
svg text.strong {{ font-weight: 600; }}
svg text.on {{ fill: var(--paper); }}
svg .grid {{ stroke: var(--rule); }}
svg .axis {{ stroke: var(--soft); }}
svg .whisker {{ stroke: var(--c0); stroke-width: 1.5; }}
svg .line {{ fill: none; stroke-width: 2; }}
svg .band {{ opacity: 0.13; }}
svg .heat {{ fill: var(--c0); }}
{" ".join(f"svg .c{n} {{ fill: var(--c{n}); }} svg .l{n} {{ stroke: var(--c{n}); }}" for n in range(svg.COLOURS))}
@media print {{
  :root {{ color-scheme: light; {_LIGHT} }}
  body {{ max-width: none; padding: 0; font-size: 10.5pt; }}
  pre {{ white-space: pre-wrap; }}
  figure, tr {{ break-inside: avoid; }}
  h2 {{ break-after: avoid; }}
}}
"""


def html_page(report: Report) -> str:
    """The whole page, ending in a newline."""
    body = [f"<h1>{escaped(report.title)}</h1>", f'<p class="subtitle">{escaped(report.subtitle)}</p>']
    if report.warnings:
        told = "".join(f"<p><strong>Not finished:</strong> {escaped(line)}</p>" for line in report.warnings)
        body.append(f'<div class="warning">{told}</div>')
    for section in report.sections:
        body += _section(section)
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(body) + "\n</body>\n</html>\n"


def _section(section: Section) -> list[str]:
    return [
        "<section>",
        f"<h2>{escaped(section.title)}</h2>",
        *(_block(block) for block in section.blocks),
        "</section>",
    ]


def _block(block: Block) -> str:
    match block:
        case Heading(words):
            return f"<h3>{escaped(words)}</h3>"
        case Text(words):
            return f"<p>{escaped(words)}</p>"
        case Items(lines):
            return "<ul>" + "".join(f"<li>{escaped(line)}</li>" for line in lines) + "</ul>"
        case Formulas(lines):
            return (
                "<dl>"
                + "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(means)}</dd>" for name, means in lines)
                + "</dl>"
            )
        case Table():
            return _table(block)
        case Code(text, _):
            return f"<pre><code>{escaped(text)}</code></pre>"
        case Points():
            return _figure(svg.points(block), block.caption)
        case Curves():
            return _figure(svg.curves(block), block.caption)
        case Heat():
            return _figure(svg.heat(block), block.caption)


def _table(block: Table) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        marks = (' class="right"' if place in block.right else "" for place in range(len(cells)))
        written = (f"<{tag}{mark}>{escaped(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True))
        return f"<tr>{''.join(written)}</tr>"

    caption = f"<caption>{escaped(block.caption)}</caption>" if block.caption else ""
    rows = "\n".join(row(cells, "td") for cells in block.rows)
    head = row(block.headings, "th")
    return f'<div class="wide"><table>{caption}<thead>{head}</thead><tbody>\n{rows}\n</tbody></table></div>'


def _figure(drawn: str, caption: str) -> str:
    return f"<figure>\n{drawn}\n<figcaption>{escaped(caption)}</figcaption>\n</figure>"
