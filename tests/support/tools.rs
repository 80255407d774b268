//! Tools that `tests/tools/install` has put below the target folder.

use std::path::{Path, PathBuf};

fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name);
    assert!(path.exists(), "{} is missing: run tests/tools/install", path.display());
    path
}

/// A Python that has the Kubernetes schemas and Helm's engine.
pub fn python() -> PathBuf {
    tool("python/bin/python")
}

/// Renders a kustomization.
pub fn kustomize() -> PathBuf {
    tool("kustomize")
}

/// Talks to a cluster.
pub fn kubectl() -> PathBuf {
    tool("kubectl")
}

/// A configuration folder for Docker's client, with the compose plugin.
pub fn docker_config() -> PathBuf {
    tool("docker")
}
