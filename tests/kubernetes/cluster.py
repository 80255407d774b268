"""An API server on loopback with a few objects in memory: as much of Kubernetes as Helm's `lookup` and kubectl ask for.

It schedules nothing, validates nothing and knows no defaults. What becomes of the objects is up to whoever starts it.
"""

import contextlib
import http.server
import json
import threading

# Group and version -> plural -> kind.
RESOURCES = {
    "v1": {"configmaps": "ConfigMap", "persistentvolumeclaims": "PersistentVolumeClaim", "pods": "Pod"},
    "apps/v1": {"deployments": "Deployment"},
    "batch/v1": {"jobs": "Job"},
}
VERBS = ["create", "delete", "get", "list", "patch", "watch"]


class Objects:
    """The objects by path, such as /api/v1/namespaces/apps/pods/NAME."""

    def __init__(self, documents):
        self.found = {}
        for document in documents:
            self.found[path_of(document)] = document


def path_of(document):
    api = document["apiVersion"]
    plural = next(plural for plural, kind in RESOURCES[api].items() if kind == document["kind"])
    root = "/api" if "/" not in api else "/apis"
    metadata = document["metadata"]
    return f"{root}/{api}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def discovery(path):
    """What the server says about itself below this path; None if the path is not about that."""
    groups = [api.split("/") for api in RESOURCES if "/" in api]
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for group, version in groups]
        names = [group for group, _ in groups]
        listed = [{"name": n, "versions": [v], "preferredVersion": v} for n, v in zip(names, versions)]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    api = path.removeprefix("/apis/").removeprefix("/api/")
    if api not in RESOURCES:
        return None
    resources = [
        {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": VERBS}
        for plural, kind in RESOURCES[api].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": resources}


class Handler(http.server.BaseHTTPRequestHandler):
    @property
    def objects(self):
        return self.server.objects.found

    def do_GET(self):
        path = self.path.split("?")[0]
        about = discovery(path)
        if about is not None:
            return self.answer(200, about)
        if path in self.objects:
            return self.answer(200, self.objects[path])
        kind = self.listed_kind(path)
        if kind is None:
            return self.refuse(404, "NotFound")
        items = [document for at, document in self.objects.items() if at.rpartition("/")[0] == path]
        api = path.split("/namespaces/")[0].removeprefix("/apis/").removeprefix("/api/")
        metadata = {"resourceVersion": "1"}
        self.answer(200, {"kind": f"{kind}List", "apiVersion": api, "metadata": metadata, "items": items})

    @staticmethod
    def listed_kind(path):
        """The kind whose list is at this path, if one is."""
        head, _, rest = path.partition("/namespaces/")
        kinds = RESOURCES.get(head.removeprefix("/apis/").removeprefix("/api/"), {})
        return kinds.get(rest.partition("/")[2])

    def refuse(self, code, reason, message=""):
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
        self.answer(code, status | {"message": message or reason})

    def answer(self, code, document):
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(documents, handler=Handler):
    """Yields a kubeconfig for a cluster in which these documents are."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.objects = Objects(documents)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster = {"server": f"http://127.0.0.1:{server.server_port}"}
    try:
        yield json.dumps({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "apps"}}],
            "users": [{"name": "u", "user": {}}],
            "current-context": "c",
        })
    finally:
        server.shutdown()
