//! The `arame` command: the REST client, and `arame up`.

pub mod up;
