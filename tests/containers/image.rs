//! The images: what is in them, who they run as, and the main job in them.

use crate::engine::{Database, EXAMPLE};

#[test]
fn the_main_job_runs_against_a_server_by_name() {
    let database = Database::new();
    database.run(&[], EXAMPLE, &[]).expect_code(0).says("settled at 0005");
    assert_eq!(database.value("select count(*) from lockkeeper_history"), "5");
}
