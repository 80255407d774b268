"""Renders and lints charts with Helm's own engine: a JSON list on standard input, a JSON list on standard output.

Of each: chart (a folder), values, release, namespace, revision, claims. The answer has manifest (one text), notes (of the
chart itself) and lint, or error. With claims, the names of the PersistentVolumeClaims that are there already, `lookup` asks
an API server that knows them and nothing else; without, it finds nothing, as for `helm template`.
"""

import contextlib
import http.server
import json
import sys
import threading

import helm_python


class ApiServer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        name = path.rpartition("/")[2]
        if path == "/api":
            self.answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
        elif path == "/api/v1":
            claims = {"name": "persistentvolumeclaims", "kind": "PersistentVolumeClaim", "namespaced": True, "verbs": ["get"]}
            self.answer(200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": [claims]})
        elif "/persistentvolumeclaims/" in path and name in self.server.claims:
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
            self.answer(200, claim)
        else:
            self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})

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
def cluster(claims):
    """Helm's view of a cluster in which these claims are."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    server.claims = claims
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    try:
        with helm_python.Config(kubeconfig_content=json.dumps(kubeconfig), storage_driver="memory") as config:
            yield config
    finally:
        server.shutdown()


def render(chart, wanted):
    options = {
        "name": wanted["release"],
        "namespace": wanted["namespace"],
        "revision": wanted["revision"],
        "is_install": wanted["revision"] == 1,
        "is_upgrade": wanted["revision"] != 1,
    }
    if wanted["claims"] is None:
        return chart.render(wanted["values"], **options)
    with cluster(wanted["claims"]) as config:
        return config.render(chart, wanted["values"], **options)


def answer(wanted):
    try:
        helm_python.validate_release_name(wanted["release"])
        with helm_python.Chart.load(wanted["chart"]) as chart:
            own_notes = f"{chart.name}/templates/NOTES.txt"
            files = render(chart, wanted)
        lint = helm_python.lint(wanted["chart"], wanted["values"], strict=True, namespace=wanted["namespace"])
    except helm_python.HelmError as error:
        return {"error": str(error)}
    manifest = "\n---\n".join(text for path, text in files.items() if not path.endswith("NOTES.txt"))
    # Severity 2 is a warning, 3 an error.
    lint = [f"{it['path']}: {it['error']}" for it in lint["messages"] if it["severity"] > 1]
    return {"manifest": manifest, "notes": files.get(own_notes, ""), "lint": lint}


json.dump([answer(wanted) for wanted in json.load(sys.stdin)], sys.stdout)
