//! Logs of every program: one JSON object a line on standard error, filtered by `RUST_LOG` (default `info`).
//!
//! Rule: whatever `RUST_LOG` says, the AMQP library is heard with its errors only: at `trace` it prints whole messages,
//! and messages carry secrets. Our own lines never print a body.

/// Call once, first thing in `main`.
pub fn init() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = "amqprs=error".parse().expect("a directive of the documented form");
    let filter = filter.add_directive(quiet);
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
