"""A report as a piece of HTML that stands by itself."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """
.doctor{font:14px/1.45 system-ui,sans-serif;max-width:62em;color:#222;background:#fff}
.doctor table{border-collapse:collapse;margin:.8em 0}
.doctor td,.doctor th{padding:.25em .9em .25em 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
.doctor code,.doctor pre{font:13px/1.4 ui-monospace,monospace;background:#f4f4f4;padding:.1em .3em;white-space:pre-wrap}
.doctor .wrong{color:#a40000;font-weight:600}
.doctor .exact,.doctor .noise{color:#1b6e1b}.doctor .unchecked{color:#805500}
.doctor section{margin:.9em 0;padding-left:.9em;border-left:3px solid #a40000}
"""


def page(report: dict[str, Any]) -> str:
    """Return the HTML of a report's dictionary."""
    out = [f'<div class="doctor"><style>{_STYLE}</style>', f"<p><strong>{escape(report['summary'])}</strong></p>"]
    if report["parameters"]:
        out.append("<table><tr><th>parameter</th><th>shape</th><th>gradient</th><th>relative error</th></tr>")
        for v in report["parameters"]:
            error = "" if v["relative_error"] is None else f"{v['relative_error']:.1e}"
            note = f" {escape(v['note'])}" if v["note"] else ""
            out.append(
                f"<tr><td><code>{escape(v['name'])}</code></td><td>{escape(str(tuple(v['shape'])))}</td>"
                f'<td class="{v["verdict"]}">{v["verdict"]}</td><td>{error}{note}</td></tr>'
            )
        out.append("</table>")
    for f in report["findings"]:
        out.append("<section>")
        for n in f["lines"]:
            out.append(f"<div>line {n['line']}: <code>{escape(n['text'])}</code></div>")
        out.append(f"<div>{escape(f['text'])}</div>")
        if f["fix"]:
            out.append(f"<pre>{escape(f['fix'])}</pre>")
        if f["parameters"]:
            out.append(f"<div>spoils {escape(', '.join(f['parameters']))}</div>")
        out.append("</section>")
    for title, key in (("Checked and right", "right"), ("To know", "notes")):
        if report[key]:
            items = "".join(f"<li>{escape(text)}</li>" for text in report[key])
            out.append(f"<p>{title}</p><ul>{items}</ul>")
    out.append("</div>")
    return "\n".join(out)
