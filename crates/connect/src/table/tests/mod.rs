//! What holds for tables of any format.

mod compose;
mod live;
mod resuming;
