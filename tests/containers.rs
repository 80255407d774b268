//! Tests of the images in a real container engine. `tests/containers/run` starts the engine, builds the images, and
//! runs these tests.
//!
//! `containers/engine.rs` and the other support files have helpers; each other file under `containers/` tests one
//! subject.

#[path = "containers/compose.rs"]
mod compose;
#[path = "containers/compose_first_boot.rs"]
mod compose_first_boot;
#[path = "containers/compose_secrets.rs"]
mod compose_secrets;
#[path = "containers/compose_stop.rs"]
mod compose_stop;
#[path = "containers/compose_surroundings.rs"]
mod compose_surroundings;
#[path = "containers/engine.rs"]
mod engine;
#[path = "containers/for_podman.rs"]
mod for_podman;
#[path = "containers/guides.rs"]
mod guides;
#[path = "containers/image.rs"]
mod image;
#[path = "containers/kube_play.rs"]
mod kube_play;
#[path = "containers/kube_restore.rs"]
mod kube_restore;
#[path = "containers/mounted.rs"]
mod mounted;
#[path = "containers/own_image.rs"]
mod own_image;
#[path = "containers/podman.rs"]
mod podman;
#[path = "containers/project.rs"]
mod project;
#[path = "containers/stop.rs"]
mod stop;
#[path = "containers/termination.rs"]
mod termination;
#[macro_use]
mod support;
