"""YAML documents on standard input -> one JSON list on standard output.

Stricter than kubectl where kubectl would take something silently: a key that is there twice is an error.
"""

import json
import sys

import yaml


class Loader(yaml.CSafeLoader):
    """Keeps text that looks like a date as text: the values of Kubernetes are those of JSON."""

    yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


try:
    documents = [document for document in yaml.load_all(sys.stdin, Loader) if document]
except yaml.YAMLError as error:
    sys.exit(f"this is no YAML that Kubernetes should see: {error}")
json.dump(documents, sys.stdout)
