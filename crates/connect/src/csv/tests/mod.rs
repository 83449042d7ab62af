//! Rows in and out.
