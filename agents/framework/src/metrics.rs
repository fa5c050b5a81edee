//! `/metrics` of an agent, in Prometheus' text form (version 0.0.4), where `[common.metrics]` says that somebody may look.
//!
//! Rule: a look reads numbers that are there anyway; nothing is registered, so nothing grows with what was once there. One
//! looker at a time, with a limit of time and of size: whoever opens the port and says nothing costs one wait. It says which
//! things are served and how much, no secret; guests only by their ids.

use anyhow::Context as _;
use serde::Deserialize;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// `[common.metrics]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// `127.0.0.1:9101`. Unsaid: nobody may look.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
}

/// A scrape's request is some hundred bytes.
const REQUEST_MAX: usize = 8 * 1024;

/// Reading the request and writing the answer, each.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Only grows, until the process ends.
    Counter,
    Gauge,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `arame_…`; a counter's ends in `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub form: Form,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Sample {
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, form: Form::Counter, labels: Vec::new(), value: value as f64 }
    }

    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, form: Form::Gauge, labels: Vec::new(), value }
    }

    pub fn of(mut self, label: &'static str, value: impl ToString) -> Self {
        self.labels.push((label, value.to_string()));
        self
    }
}

/// The text of a look. Samples of one name are kept together, as the form wants it.
pub fn text(mut samples: Vec<Sample>) -> String {
    samples.sort_by_key(|sample| sample.name);
    let (mut text, mut last) = (String::with_capacity(samples.len() * 80), "");
    for sample in &samples {
        if sample.name != last {
            let form = match sample.form {
                Form::Counter => "counter",
                Form::Gauge => "gauge",
            };
            let _ = writeln!(text, "# HELP {0} {1}\n# TYPE {0} {form}", sample.name, sample.help);
            last = sample.name;
        }
        text.push_str(sample.name);
        for (at, (label, value)) in sample.labels.iter().enumerate() {
            let _ = write!(text, "{}{label}=\"{}\"", if at == 0 { '{' } else { ',' }, escaped(value));
        }
        let end = if sample.labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{end} {}", sample.value);
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// # Errors
/// The address is taken, or not of this machine.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| format!("[common.metrics] cannot listen on {listen}"))
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, samples: impl Fn() -> Vec<Sample>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::time::timeout(LOOK_TIMEOUT * 2, look(stream, &samples)).await),
            Err(error) => {
                tracing::debug!(%error, "a look at the metrics could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn look(mut stream: TcpStream, samples: &impl Fn() -> Vec<Sample>) -> std::io::Result<()> {
    let request = tokio::time::timeout(LOOK_TIMEOUT, head(&mut stream)).await??;
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, body) = match (request.starts_with("GET "), path) {
        (true, "/metrics") => ("200 OK", text(samples())),
        (true, _) => ("404 Not Found", "only /metrics is here\n".to_owned()),
        (false, _) => ("405 Method Not Allowed", "only GET is answered\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The request up to its empty line.
async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let length = stream.read(&mut part).await?;
        if length == 0 || bytes.len() + length > REQUEST_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&part[..length]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_name_stand_together_under_one_head_and_values_are_escaped() {
        let help = "Questions.";
        let one = Sample::counter("arame_questions_total", help, 3).of("network", "nw-a").of("kind", "a\"b\\c");
        let other = Sample::counter("arame_questions_total", help, 4).of("network", "nw-b");
        let told = text(vec![one, Sample::gauge("arame_up", "Whether.", 1.0), other]);
        let wanted = "# HELP arame_questions_total Questions.\n# TYPE arame_questions_total counter\n\
                      arame_questions_total{network=\"nw-a\",kind=\"a\\\"b\\\\c\"} 3\n\
                      arame_questions_total{network=\"nw-b\"} 4\n\
                      # HELP arame_up Whether.\n# TYPE arame_up gauge\narame_up 1\n";
        assert_eq!(told, wanted);
    }

    async fn ask(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn a_look_is_answered_and_anything_else_is_told_no() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, || vec![Sample::gauge("arame_up", "Whether.", 1.0)]));
        let told = ask(at, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.ends_with("arame_up 1\n"), "{told}");
        assert!(ask(at, "GET / HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(ask(at, "POST /metrics HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        assert_eq!(ask(at, &"x".repeat(REQUEST_MAX + 2_000)).await, "", "no end: no answer");
        assert!(ask(at, "GET /metrics HTTP/1.0\r\n\r\n").await.contains(" 200 "), "and the next is answered");
        server.abort();
    }
}
