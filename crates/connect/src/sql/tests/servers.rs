//! The suite over each database.

use super::{Bed, guarded, reading};

fn all(bed: &Bed) {
    reading::every_row_is_read_once_in_the_order_of_any_key(bed);
    reading::conditions_are_the_databases_own(bed);
    reading::what_is_read_is_exact(bed);
    guarded::each_row_has_an_end_of_its_own(bed);
    guarded::what_is_too_long_costs_its_row_alone(bed);
    guarded::rows_of_keys_of_several_columns_are_written(bed);
}

#[test]
fn sqlite_does_what_every_database_does() {
    all(&Bed::sqlite());
}

#[test]
fn mariadb_does_what_every_database_does() {
    if let Some(bed) = Bed::mariadb() {
        all(&bed);
    }
}

#[test]
fn postgres_does_what_every_database_does() {
    if let Some(bed) = Bed::postgres() {
        all(&bed);
    }
}
