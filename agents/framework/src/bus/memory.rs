//! The bus in one process.
