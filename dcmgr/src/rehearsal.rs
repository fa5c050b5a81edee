//! The seam for rehearsals, as the application and the database see it: what the framework has, and nothing else of it.

pub use arame_framework::rehearsal::{
    EPOCH_SECONDS, Sabotage, Stage, blocking, fill_bytes, note, pause, point, random_range, sabotaged, spawn, uuid_v4,
    uuid_v7,
};
