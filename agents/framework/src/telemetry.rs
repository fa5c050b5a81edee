//! Logs of every program: one JSON object a line on standard error, filtered by `RUST_LOG` (default `info`).

/// Call once, first thing in `main`.
pub fn init() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
