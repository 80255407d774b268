"""Renders and lints charts with Helm's own engine: a JSON list on standard input, a JSON list on standard output.

Of each: chart (a directory), values, release, namespace, revision, objects. The answer has manifest (one text), notes (of the
chart itself) and lint, or error. With objects, the documents that are there already, `lookup` asks an API server that has
them and nothing else; without (null), it finds nothing, as for `helm template`.
"""

import json
import sys

import helm_python

import cluster


def render(chart, wanted):
    options = {
        "name": wanted["release"],
        "namespace": wanted["namespace"],
        "revision": wanted["revision"],
        "is_install": wanted["revision"] == 1,
        "is_upgrade": wanted["revision"] != 1,
    }
    if wanted["objects"] is None:
        return chart.render(wanted["values"], **options)
    with cluster.serve(cluster.Objects(wanted["objects"])) as kubeconfig:
        with helm_python.Config(kubeconfig_content=kubeconfig, storage_driver="memory") as config:
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
