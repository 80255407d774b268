//! The images in a real container engine. `tests/containers/run` starts one and makes the images; then this.
//!
//! `containers/engine.rs` has the parts; each other file under `containers/` tests one matter.

#[path = "containers/engine.rs"]
mod engine;
#[path = "containers/for_podman.rs"]
mod for_podman;
#[path = "containers/image.rs"]
mod image;
#[path = "containers/kube_play.rs"]
mod kube_play;
#[path = "containers/mounted.rs"]
mod mounted;
#[path = "containers/podman.rs"]
mod podman;
#[path = "containers/stop.rs"]
mod stop;
#[path = "containers/termination.rs"]
mod termination;
#[macro_use]
#[allow(dead_code)]
mod support;
