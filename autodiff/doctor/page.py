"""A report as a piece of HTML that stands by itself."""

from __future__ import annotations

from html import escape
from typing import Any

from autodiff.draw.picture.look import variables

#: The colours are those of the pictures.
_STYLE = """
.doctor{font:15px/1.45 system-ui,sans-serif;max-width:62em;color:var(--ink);background:var(--page);padding:.6em .9em}
.doctor table{border-collapse:collapse;margin:.8em 0}
.doctor td,.doctor th{padding:.25em .9em .25em 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
.doctor code,.doctor pre{font:12.5px/1.4 "DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre-wrap}
.doctor pre{background:var(--panel);color:var(--ink);padding:.2em .5em;margin:.4em 0}
.doctor .wrong{color:var(--alarm-ink);font-weight:600}
.doctor .exact,.doctor .noise{color:var(--data)}.doctor .unchecked{color:var(--learnt)}
.doctor section{margin:.9em 0;padding:.4em .9em;border:1px solid var(--alarm-ink);border-radius:5px}
.doctor section{background:var(--alarm)}
"""


def page(report: dict[str, Any]) -> str:
    """Return the HTML of a report's dictionary."""
    out = [
        f'<div class="doctor"><style>{variables(".doctor")}{_STYLE}</style>',
        f"<p><strong>{escape(report['summary'])}</strong></p>",
    ]
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
