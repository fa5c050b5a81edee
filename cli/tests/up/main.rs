//! `arame up` as a person uses it: the built command, a folder of its own, real MariaDB, RabbitMQ, namespaces, QEMU.
//!
//! Each test uses names and ports of its own and leaves nothing behind. What the machine lacks is skipped aloud.

mod folder;
mod guest;
mod hosts;
mod needs;
mod sim;
