"""The page of the local MPS for the browser: its tasks and calls."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from airflow_provider_mps.emulator.backend import LocalMpsBackend

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2733 }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #dde3ea; vertical-align: top }
td.id { font-family: ui-monospace, monospace; font-size: .85em; word-break: break-all }
.WAITING { color: #8a6d00 } .PROCESSING { color: #0b5cad } .FINISH { color: #1a7a3c }
"""


def render(backend: LocalMpsBackend) -> str:
    """Return the page: the tasks, newest first, and the calls so far."""
    tasks = "".join(
        f"<tr><td class=id>{escape(task.task_id)}</td><td class='{status}'>{status}</td><td>{task.polls}</td>"
        f"<td>{escape(task.scenario)}</td><td>{escape(task.title)}</td>"
        f"<td>{datetime.fromtimestamp(task.created, UTC):%H:%M:%S}</td></tr>"
        for task, status in (
            (task, escape(backend.status(task))) for task in sorted(backend.tasks.values(), key=lambda t: -t.created)
        )
    )
    calls = "".join(
        f"<tr><td>{escape(action)}</td><td>{escape(code)}</td><td>{count}</td></tr>"
        for action, codes in backend.counts()["calls"].items()
        for code, count in codes.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=3>"
        f"<title>Local MPS</title><style>{_STYLE}</style><h1>Local MPS</h1>"
        "<p>An emulator of Tencent Cloud MPS. Nothing here costs money. The page reloads every 3 seconds.</p>"
        "<h2>Tasks</h2><table><tr><th>TaskId<th>Status<th>Polls<th>Scenario<th>Input<th>Created (UTC)</tr>"
        f"{tasks or '<tr><td colspan=6>None yet.</td></tr>'}</table>"
        "<h2>Calls</h2><table><tr><th>Action<th>Answer<th>Count</tr>"
        f"{calls or '<tr><td colspan=3>None yet.</td></tr>'}</table></html>"
    )
