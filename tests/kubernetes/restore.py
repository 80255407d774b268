"""Runs the lines of the restore guide with the real kubectl: {"kubectl", "directory", "lines", "code"} -> the result of each.

The cluster is played: two pods of the application, a finished Job of the release before, and a pod `devops-hub-lockkeeper`
that is being created when kubectl has made it, then runs, then ends with `code`, one step for each look of a watch. The
answer has each line's code and output, and for each time that the application was started what that pod was at.
"""

import json
import os
import subprocess
import sys
import tempfile

import cluster

NAME = "devops-hub-lockkeeper"
POD = f"/api/v1/namespaces/apps/pods/{NAME}"
APPLICATION = "/apis/apps/v1/namespaces/apps/deployments/devops-hub"


def metadata(name, component):
    return {"name": name, "namespace": "apps", "uid": name, "resourceVersion": "1",
            "labels": {"app.kubernetes.io/component": component}}


def documents():
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("devops-hub", "backend"), "spec": {"replicas": 2}}
    for number in range(2):
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata(f"devops-hub-{number}", "backend")}
    yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata("devops-hub-migrate", "migration"),
           "status": {"succeeded": 1}}


class Played(cluster.Objects):
    def __init__(self, code):
        super().__init__(documents())
        self.started = []
        self.steps = [
            ("Running", {"running": {}}),
            ("Succeeded" if code == 0 else "Failed", {"terminated": {"exitCode": code}}),
        ]

    def advance(self):
        if self.found[APPLICATION]["spec"]["replicas"] == 0:
            for number in range(2):
                self.found.pop(f"/api/v1/namespaces/apps/pods/devops-hub-{number}", None)
        pod = self.found.get(POD)
        if pod and self.steps:
            self.set_status(pod, *self.steps.pop(0))

    @staticmethod
    def set_status(pod, phase, state):
        pod["status"] = {"phase": phase, "containerStatuses": [{"name": "migrate", "state": state}]}

    def start_application(self):
        self.started.append(self.found.get(POD, {}).get("status", {}).get("phase", "gone"))


class Handler(cluster.Handler):
    def do_GET(self):
        if self.path.split("?")[0] != f"{POD}/log":
            return super().do_GET()
        state = self.objects[POD]["status"]["containerStatuses"][0]["state"]
        if "waiting" in state:
            return self.refuse(400, "BadRequest", f'container "migrate" in pod "{NAME}" is waiting to start: ContainerCreating')
        body = b"the log of the restore\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")

    def do_POST(self):
        document = self.body()
        document["metadata"] |= {"namespace": "apps", "uid": document["metadata"]["name"], "resourceVersion": "1"}
        path = cluster.path_of(document)
        self.objects[path] = document
        if path == POD:
            Played.set_status(document, "Pending", {"waiting": {"reason": "ContainerCreating"}})
        self.answer(201, document)

    def do_PATCH(self):
        path = self.path.split("?")[0]
        replicas = self.body().get("spec", {}).get("replicas")
        document = self.objects[path.removesuffix("/scale")]
        if replicas is not None and path.removesuffix("/scale") == APPLICATION:
            document["spec"]["replicas"] = replicas
            if replicas:
                self.server.objects.start_application()
        if path.endswith("/scale"):
            document = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": document["metadata"],
                        "spec": {"replicas": replicas}}
        self.answer(200, document)

    def do_DELETE(self):
        self.body()
        document = self.objects.pop(self.path.split("?")[0], None)
        if document is None:
            return self.refuse(404, "NotFound")
        self.answer(200, document)


def run(line, kubeconfig, wanted):
    bash = ["bash", "-o", "pipefail", "-c", line]
    path = f"{os.path.dirname(wanted['kubectl'])}:{os.environ['PATH']}"
    environment = {"PATH": path, "KUBECONFIG": kubeconfig, "HOME": os.path.dirname(kubeconfig)}
    done = subprocess.run(bash, cwd=wanted["directory"], env=environment, capture_output=True, text=True, timeout=60)
    return {"line": line, "code": done.returncode, "said": done.stdout + done.stderr}


wanted = json.load(sys.stdin)
played = Played(wanted["code"])
with cluster.serve(played, Handler) as text, tempfile.TemporaryDirectory() as directory:
    kubeconfig = os.path.join(directory, "config")
    with open(kubeconfig, "w") as file:
        file.write(text)
    lines = [run(line, kubeconfig, wanted) for line in wanted["lines"]]
replicas = played.found[APPLICATION]["spec"]["replicas"]
json.dump({"lines": lines, "started": played.started, "replicas": replicas}, sys.stdout)
