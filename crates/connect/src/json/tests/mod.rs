//! Items in and out.
