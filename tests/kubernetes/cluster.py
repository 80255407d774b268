"""An API server on loopback with a few objects in memory: the part of Kubernetes that Helm's `lookup` and kubectl need.

It schedules nothing, validates nothing and knows no defaults. What becomes of the objects is up to whoever starts it.
"""

import contextlib
import http.server
import json
import select
import threading
import urllib.parse

# Group and version -> plural -> kind.
RESOURCES = {
    "v1": {
        "configmaps": "ConfigMap",
        "persistentvolumeclaims": "PersistentVolumeClaim",
        "pods": "Pod",
        "serviceaccounts": "ServiceAccount",
        "services": "Service",
    },
    "apps/v1": {"deployments": "Deployment"},
    "batch/v1": {"jobs": "Job"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}
VERBS = ["create", "delete", "get", "list", "patch", "watch"]


class Objects:
    """The objects by path, such as /api/v1/namespaces/apps/pods/NAME."""

    def __init__(self, documents):
        self.found = {}
        for document in documents:
            self.found[path_of(document)] = document

    def advance(self):
        """Changes the cluster between two requests. This class changes nothing."""


def path_of(document):
    api = document["apiVersion"]
    plural = next(plural for plural, kind in RESOURCES[api].items() if kind == document["kind"])
    root = "/api" if "/" not in api else "/apis"
    metadata = document["metadata"]
    return f"{root}/{api}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def discovery(path):
    """Returns the description of the server below this path; None if the path is of an object."""
    if path.startswith("/openapi/v3"):
        return openapi(path.removeprefix("/openapi/v3").strip("/"))
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
    if api == "apps/v1":
        scale = {"name": "deployments/scale", "singularName": "", "kind": "Scale", "namespaced": True}
        resources.append(scale | {"group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": resources}


def openapi(prefix):
    """Returns the part of the API description that kubectl needs: the server validates fields, so that kubectl does not."""
    places = {("apis/" if "/" in api else "api/") + api: api for api in RESOURCES}
    if not prefix:
        return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in places}}
    if prefix not in places:
        return None
    group, _, version = places[prefix].rpartition("/")
    paths = {}
    for plural, kind in RESOURCES[places[prefix]].items():
        patch = {
            "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
            "responses": {},
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        }
        paths[f"/{prefix}/namespaces/{{namespace}}/{plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "1"}, "paths": paths}


def selected(document, query):
    """Returns whether a label selector (only equality) and a field selector for the name match it."""
    labels = document["metadata"].get("labels", {})
    wanted = [part.split("=") for part in query.get("labelSelector", [""])[0].split(",") if part]
    name = query.get("fieldSelector", [""])[0].removeprefix("metadata.name=")
    return all(labels.get(key) == value for key, value in wanted) and name in ("", document["metadata"]["name"])


class Handler(http.server.BaseHTTPRequestHandler):
    @property
    def objects(self):
        return self.server.objects.found

    def do_GET(self):
        path, _, query = self.path.partition("?")
        query = urllib.parse.parse_qs(query)
        about = discovery(path)
        if about is not None:
            return self.answer(200, about)
        if path in self.objects:
            return self.answer(200, self.objects[path])
        kind = self.listed_kind(path)
        if kind is None:
            return self.refuse(404, "NotFound")
        if "watch" in query:
            return self.watch(path, query)
        items = self.items(path, query)
        api = path.split("/namespaces/")[0].removeprefix("/apis/").removeprefix("/api/")
        metadata = {"resourceVersion": "1"}
        self.answer(200, {"kind": f"{kind}List", "apiVersion": api, "metadata": metadata, "items": items})

    def items(self, path, query):
        below = [document for at, document in list(self.objects.items()) if at.rpartition("/")[0] == path]
        return [document for document in below if selected(document, query)]

    def watch(self, path, query):
        """Sends every change from now on until the client goes away. Each request advances the simulation."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        seen = {document["metadata"]["name"]: json.dumps(document) for document in self.items(path, query)}
        with contextlib.suppress(OSError):
            # A client that only listens sends nothing but the end of its connection.
            while not select.select([self.connection], [], [], 0.02)[0]:
                self.server.objects.advance()
                now = {document["metadata"]["name"]: json.dumps(document) for document in self.items(path, query)}
                for name in seen.keys() - now.keys():
                    self.event("DELETED", seen[name])
                for name in now.keys() - seen.keys():
                    self.event("ADDED", now[name])
                for name in now.keys() & seen.keys():
                    if now[name] != seen[name]:
                        self.event("MODIFIED", now[name])
                seen = now

    def event(self, kind, text):
        self.wfile.write(f'{{"type": "{kind}", "object": {text}}}\n'.encode())
        self.wfile.flush()

    @staticmethod
    def listed_kind(path):
        """Returns the kind whose list is at this path, if there is one."""
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
def serve(objects, handler=Handler):
    """Yields a kubeconfig for a cluster with these objects."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.objects = objects
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
