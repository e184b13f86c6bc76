"""W&B's server as far as dashboards ask it: an account, projects with runs, and views that are kept."""

from __future__ import annotations

import gzip
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """``url``; ``views``, the variables of every view that was saved; ``asked``, names of the queries.

    Args:
        projects: (entity, project) → groups of its runs.
    """

    def __init__(self, projects: dict[tuple[str, str], list[str]]) -> None:
        self.projects = projects
        self.views: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.url = ""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The ``data`` of the reply."""
        name = re.search(r"(?:query|mutation)\s+(\w+)", query)
        self.asked.append(name[1] if name else query)
        answers = {
            "Runs": self.runs,
            "ProjectInternalId": self.project,
            "UpsertView2": self.view,
            "upsertView": self.view,
            "GetProjects": self.all_projects,
        }
        who = {"id": "u1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
        return answers[name[1]](variables) if name and name[1] in answers else {"viewer": who}

    def runs(self, variables):
        groups = self.projects.get((variables["entity"], variables["project"]))
        if groups is None:
            return {"project": None}
        wanted = json.loads(variables["filters"]).get("group", {}).get("$in", groups)
        count = sum(group in wanted for group in groups)
        page = {"endCursor": None, "hasNextPage": False}
        return {"project": {"internalId": "7", "runCount": count, "readOnly": False,
                            "runs": {"edges": [], "pageInfo": page}}}  # fmt: skip

    def project(self, variables):
        known = (variables["entityName"], variables["projectName"]) in self.projects
        return {"project": {"id": "p7", "internalId": "7"} if known else None}

    def all_projects(self, variables):
        nodes = [
            {
                "node": {
                    "id": "p",
                    "name": name,
                    "entityName": entity,
                    "createdAt": "x",
                    "isBenchmark": False,
                    "user": None,
                }
            }
            for entity, name in self.projects
        ]
        return {"models": {"edges": nodes, "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def view(self, variables):
        self.views.append(variables)
        kept = {
            **variables, "id": "v1", "createdAt": "2026-01-01T00:00:00", "updatedAt": "2026-01-01T00:00:00",
            "project": {"id": "p7", "name": variables["projectName"], "entityName": variables["entityName"]},
        }  # fmt: skip
        return {"upsertView": {"view": kept, "inserted": True}}


@contextmanager
def serving(server: Server):
    """Listen while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            reply = b"{}"
            if self.path == "/graphql":
                asked = json.loads(body)
                reply = json.dumps(
                    {"data": server.answer(asked["query"], asked.get("variables") or {})}
                ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
