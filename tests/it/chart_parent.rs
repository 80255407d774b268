//! Tests of the chart as a dependency: the parent chart is the one that the chart's README prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::chart::{Release, Rendered, directory, external_objects, merge};
use crate::support::manifests::{check_rules, check_schemas, yaml};
use crate::support::process::must_run;

/// The second alias is one that a template can write after `.Subcharts.`, but that is no valid name in Kubernetes.
const ALIASES: [&str; 2] = ["orders", "billingDb"];

/// A chart whose files are those of the README, changed by the test, with ours as its dependency.
struct Parent {
    place: TempDir,
}

impl Parent {
    fn new(change: impl Fn(&str, String) -> String) -> Parent {
        let place = TempDir::new().expect("a directory");
        let readme = fs::read_to_string(directory().join("README.md")).expect("the chart's README");
        let (_, section) = readme.split_once("## In your own chart").expect("its section");
        for block in section.split("```yaml\n# ").skip(1) {
            let (name, text) = block.split_once('\n').expect("a file's name");
            let text = text.split("\n```").next().expect("its end").to_owned();
            write(&place.path().join(name), &change(name, text));
        }
        let charts = place.path().join("charts");
        fs::create_dir(&charts).expect("a directory");
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(directory()).arg(charts.join("lockkeeper"));
        must_run(copy);
        Parent { place }
    }

    fn release(&self, values: Value) -> Release {
        Release::from_chart(self.place.path(), values)
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, format!("{text}\n")).expect("a file");
}

/// Returns the file as printed, but for a Secret that the tests create.
fn as_printed(_: &str, text: String) -> String {
    text.replace("existingSecret: shop-database", "existingSecret: outside-database")
}

/// Expects that Kubernetes accepts it and that no rule is broken.
fn check(release: &Release) -> Rendered {
    let rendered = release.render().unwrap_or_else(|error| panic!("{error}"));
    assert!(rendered.lint.is_empty(), "helm lint: {:?}", rendered.lint);
    let all = [rendered.documents.clone(), external_objects(&rendered.documents)].concat();
    check_rules(&all);
    check_schemas(&all);
    rendered
}

fn init_containers(rendered: &Rendered) -> Vec<&str> {
    let deployment = rendered.documents.iter().find(|it| it["kind"] == "Deployment").expect("the parent's");
    let containers = deployment["spec"]["template"]["spec"]["initContainers"].as_array();
    containers.into_iter().flatten().filter_map(|it| it["name"].as_str()).collect()
}

#[test]
fn the_parent_chart_of_the_readme_works_in_every_mode() {
    let parent = Parent::new(as_printed);
    for (mode, names) in [("initContainer", vec!["migrate"]), ("job", vec!["wait-for-migration"]), ("hook", vec![])] {
        let own_secret = json!({"existingSecret": "", "password": "p"});
        for values in [json!({}), json!({"database": own_secret}), json!({"networkPolicy": {"enabled": true}})] {
            let rendered = check(&parent.release(json!({"lockkeeper": merge(values, json!({"mode": mode}))})));
            assert_eq!(init_containers(&rendered), names, "{mode}");
            let deployments = rendered.documents.iter().filter(|it| it["kind"] == "Deployment");
            assert_eq!(deployments.count(), 1, "the chart rendered an application of its own");
        }
    }
}

#[test]
fn the_values_that_the_readme_prints_are_accepted() {
    let readme = fs::read_to_string(directory().join("README.md")).expect("the chart's README");
    let (above, _) = readme.split_once("## In your own chart").expect("a section");
    let block = |text: &str| yaml(text.split("\n```").next().expect("its end")).remove(0);
    let blocks: Vec<Value> = above.split("```yaml\n").skip(1).map(block).collect();
    let [values, more @ ..] = blocks.as_slice() else { panic!("there are no blocks") };
    assert_eq!(more.len(), 3, "{more:?}");
    let without_a_url = json!({"database": {"url": ""}});
    let mut documents = Release::from_chart(directory(), values.clone()).render().expect("a rendering").documents;
    for block in more {
        let under = match block["database"].is_object() {
            true => merge(values.clone(), without_a_url.clone()),
            false => values.clone(),
        };
        let release = Release::from_chart(directory(), merge(under, block.clone()));
        documents.extend(release.render().unwrap_or_else(|error| panic!("{block}: {error}")).documents);
    }
    check_schemas(&documents);
}

#[test]
fn changed_migrations_restart_the_parents_pods() {
    let annotations = |change: fn(&str, String) -> String, values: Value, text: &str| {
        let parent = Parent::new(change);
        let release = parent.release(values).with_migrations("outside-migrations", text);
        let documents = release.render().unwrap_or_else(|error| panic!("{error}")).documents;
        let deployment = documents.iter().find(|it| it["kind"] == "Deployment").expect("the parent's");
        deployment["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let each = json!({"mode": "initContainer", "migrations": {"existingConfigMap": "outside-migrations"}});
    let one = json!({"lockkeeper": each});
    assert_ne!(annotations(as_printed, one.clone(), "a"), annotations(as_printed, one, "b"));
    let both = annotations(two_databases, json!({"orders": each, "billingDb": each}), "a");
    for name in ["checksum/migrations-orders", "checksum/migrations-billing-db"] {
        assert!(both[name].is_string(), "{both}");
    }
}

#[test]
fn a_sqlite_file_is_in_the_parents_pod() {
    let parent = Parent::new(|name, text| {
        let text = as_printed(name, text);
        let recreate = "spec:\n  replicas: 1\n  strategy: {type: Recreate}\n  # Longer";
        text.replacen("spec:\n  # Longer", recreate, 1)
    });
    let database = json!({"url": "sqlite:////data/shop.db", "existingSecret": ""});
    let rendered = check(&parent.release(json!({"lockkeeper": {"mode": "initContainer", "database": database}})));
    assert!(rendered.text.contains("claimName: shop-lockkeeper-data"), "{}", rendered.text);
}

#[test]
fn a_wrong_value_names_the_dependency_that_has_it() {
    let parent = Parent::new(as_printed);
    let error = parent.release(json!({"lockkeeper": {"image": {"tag": ""}}})).render().err().expect("a refusal");
    assert!(error.contains("lockkeeper: these values cannot work") && error.contains("image.tag"), "{error}");
    let error = parent.release(json!({"lockkeeper": {"mood": "job"}})).render().err().expect("a refusal");
    assert!(error.contains("lockkeeper") && error.contains("'mood'"), "{error}");
}

/// Changes a file for two dependencies of the same chart; the lines of the Deployment appear once for each, but for
/// those of the application.
fn two_databases(name: &str, text: String) -> String {
    let both = |from: &str| {
        let lines = from.split_inclusive('\n').map(|line| {
            let each = ALIASES.map(|alias| line.replace(".Subcharts.lockkeeper", &format!(".Subcharts.{alias}")));
            match line {
                line if line.contains("podSecurityContext") || line.contains("lockkeeper.env") => each[0].clone(),
                line if line.contains(".Subcharts") => each.concat(),
                line => line.to_owned(),
            }
        });
        lines.collect::<String>()
    };
    match name {
        "Chart.yaml" => {
            let (head, dependency) = text.split_once("dependencies:\n").expect("dependencies");
            let aliased = ALIASES.map(|alias| {
                format!("{}\n    alias: {alias}\n    condition: {alias}.enabled\n", dependency.trim_end())
            });
            format!("{head}dependencies:\n{}", aliased.concat())
        }
        "values.yaml" => {
            let text = as_printed(name, text);
            let values = text.split_once("lockkeeper:\n").expect("values").1.to_owned();
            format!("orders:\n{values}\nbillingDb:\n{values}")
        }
        _ => both(&text),
    }
}

#[test]
fn two_aliases_share_neither_names_nor_volumes() {
    let parent = Parent::new(two_databases);
    let long = "a-release-whose-name-is-as-long-as-helm-lets-it-be-53";
    for name in ["shop", long] {
        for (mode, prefix) in [("initContainer", "migrate"), ("job", "wait-for")] {
            let each = json!({"mode": mode, "networkPolicy": {"enabled": mode == "initContainer"}});
            let values = json!({"orders": each, "billingDb": each});
            let rendered = check(&parent.release(values).with_name(name));
            assert_eq!(init_containers(&rendered), [format!("{prefix}-orders"), format!("{prefix}-billing-db")]);
            let claims = rendered.documents.iter().filter(|it| it["kind"] == "PersistentVolumeClaim");
            assert_eq!(claims.count(), 2);
        }
    }
}

#[test]
fn an_alias_that_is_a_prefix_of_the_release_name_has_unique_names() {
    let parent = Parent::new(two_databases);
    let values = json!({"orders": {"mode": "job"}, "billingDb": {"mode": "job"}});
    check(&parent.release(values).with_name("orders-billing-db"));
}
