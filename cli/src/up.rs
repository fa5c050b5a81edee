//! x
pub mod command;
pub mod image;
