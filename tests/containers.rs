//! The images in a real container engine. `tests/containers/run` starts one and makes the images; then this.
//!
//! `containers/engine.rs` has the parts; each other file under `containers/` tests one matter.

#[path = "containers/engine.rs"]
mod engine;
#[path = "containers/image.rs"]
mod image;
#[path = "containers/stop.rs"]
mod stop;
#[macro_use]
#[allow(dead_code)]
mod support;
