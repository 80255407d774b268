"""Kubernetes documents as a JSON list on standard input, checked against the schemas of all releases from one on.

    schemas.py 1.29

One line on standard output for each document, release and reason to refuse it. Unknown keys are refused, too, as the API server
refuses them for `kubectl apply --validate=strict`.
"""

import functools
import json
import sys

import jsonschema
import referencing
from kubernetes_validate import utils
from packaging.version import Version

# The definitions of a release are some megabytes: read once, not once for each document.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)


@functools.lru_cache(maxsize=None)
def validator(release, kind, api_version):
    directory = f"kubernetes-json-schema/v{release}-local-strict"
    group = api_version.split("/")
    # networking.k8s.io/v1 is networking-v1 among the schemas.
    name = "-".join([kind.lower(), *(part.split(".")[0] for part in group)])
    schema = utils.schema_contents(f"{directory}/{name}.json", release)
    return jsonschema.Draft202012Validator(schema, registry=registry(release, directory))


@functools.lru_cache(maxsize=None)
def registry(release, directory):
    definitions = utils.schema_contents(f"{directory}/_definitions.json", release)
    return referencing.Resource.from_contents(definitions) @ referencing.Registry()


def refusals(document, release):
    try:
        found = validator(release, document["kind"], document["apiVersion"]).iter_errors(document)
        return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found]
    except FileNotFoundError:
        return [f"this release has no {document['kind']} in {document['apiVersion']}"]


oldest = Version(sys.argv[1])
releases = sorted({release for release in utils.all_versions() if Version(release) >= oldest}, key=Version)
if not releases or Version(releases[0]) != oldest:
    sys.exit(f"there are no schemas of Kubernetes {oldest}")
for document in json.load(sys.stdin):
    for release in releases:
        for refusal in refusals(document, release):
            print(f"{document['kind']}/{document['metadata']['name']} in {release}: {refusal}")
