//! `arame image register` and `upload`: images from an address, and from a file here.
//!
//! Rule: a file is sent as it is read, never held; its format is said or told by its name, and judged by the storage node.

use super::shown;
use crate::commands::Waiting;
use crate::failure::{CliError, USAGE};
use crate::names;
use crate::session::Session;
use crate::wait::{self, Goal};
use crate::words::{Message, say};
use arame_schema::api::{Image, ImageFormat};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::AsyncReadExt;

/// Read from the file at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// What is said of a new image.
#[derive(Debug, Clone, clap::Args)]
pub struct Described {
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// raw or qcow2; by the name's ending unless said / 形式
    #[arg(long, value_parser = ["raw", "qcow2"])]
    format: Option<String>,
    /// What the file must have / SHA-256
    #[arg(long, value_name = "SHA256")]
    checksum: Option<String>,
    #[arg(long)]
    arch: Option<String>,
    /// For every account; operators only / 全アカウントに公開する
    #[arg(long)]
    public: bool,
}

impl Described {
    /// The request's body, for a file of this name.
    fn body(&self, session: &Session<'_>, file: &str) -> Result<Value, CliError> {
        let ends = |end: &str| file.to_ascii_lowercase().ends_with(end);
        let told = match &self.format {
            Some(format) => format.parse().ok(),
            None if ends(".qcow2") => Some(ImageFormat::Qcow2),
            None if ends(".raw") => Some(ImageFormat::Raw),
            None => None,
        };
        let words = [Message::FormatNeeded, Message::FormatNeededCause, Message::FormatNeededNext];
        let format = told.ok_or_else(|| CliError::own(USAGE, session.language(), words, &[("name", file)]))?;
        let mut body = json!({ "file_format": format.as_str() });
        let fields = [
            ("display_name", &self.name),
            ("description", &self.description),
            ("checksum", &self.checksum),
            ("arch", &self.arch),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        if self.public {
            body["is_public"] = json!(true);
        }
        Ok(body)
    }
}

pub async fn register(
    session: &mut Session<'_>,
    uri: &str,
    described: Described,
    waiting: Waiting,
) -> Result<(), CliError> {
    let file = uri.split(['?', '#']).next().unwrap_or_default();
    let mut body = described.body(session, file)?;
    body["uri"] = json!(uri);
    let made: Image = session.client.post("/images", &body).await?;
    finish(session, &made.id, 0, waiting).await
}

pub async fn upload(
    session: &mut Session<'_>,
    path: &Path,
    to: Option<&str>,
    described: Described,
    waiting: Waiting,
) -> Result<(), CliError> {
    let shown_path = path.display().to_string();
    let language = session.language();
    let unreadable = |source: std::io::Error| {
        let sentence = say(language, Message::FileUnreadable, &[("path", &shown_path)]);
        CliError::because(USAGE, sentence, source, crate::words::word(language, Message::FileNext).into())
    };
    // Before anything is made that would wait for it.
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let id = match to {
        Some(image) => names::id_of::<Image>(&session.client, image).await?,
        None => {
            let body = described.body(session, &shown_path)?;
            session.client.post::<Image>("/images", &body).await?.id
        }
    };
    let after = wait::newest_event(&session.client, &id).await?;
    session.remark(Message::Uploading, &[("name", &shown_path)]);
    let bar = bar(session.terminal, length);
    let told = bar.clone();
    let pieces = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let count = file.read(&mut piece).await?;
        piece.truncate(count);
        Ok::<_, std::io::Error>((count > 0).then_some((piece, file)))
    });
    let pieces = pieces.inspect(move |piece| told.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64)));
    let sent: Result<Image, CliError> =
        session.client.pour(&format!("/images/{id}/content"), length, reqwest::Body::wrap_stream(pieces)).await;
    bar.finish_and_clear();
    if let Err(error) = sent {
        return Err(explained(session, &id, error).await);
    }
    finish(session, &id, after, waiting).await
}

/// Whoever is turned away in the middle of sending may not hear why: the image tells it.
async fn explained(session: &Session<'_>, id: &str, error: CliError) -> CliError {
    if matches!(error, CliError::Refused(_)) {
        return error;
    }
    let view = session.client.get::<Image>(&format!("/images/{id}")).await;
    match view.ok().and_then(|image| image.failure) {
        Some(failure) => {
            let sentence = say(session.language(), Message::WaitFailed, &[("id", id), ("state", "pending")]);
            CliError::Failed { sentence, failure: Box::new(failure) }
        }
        None => error,
    }
}

fn bar(terminal: bool, length: u64) -> ProgressBar {
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} [{eta}]") {
        bar.set_style(style);
    }
    bar
}

async fn finish(session: &mut Session<'_>, id: &str, after: u64, waiting: Waiting) -> Result<(), CliError> {
    let path = format!("/images/{id}");
    let view = if waiting.wait {
        wait::until(session, Goal { path, id, states: &["available"], after, timeout: waiting.timeout() }).await?
    } else {
        session.remark(Message::Accepted, &[("id", id)]);
        Some(session.client.get::<Image>(&path).await?)
    };
    match view {
        Some(view) => session.print(&view, |language| shown(language, &view)),
        None => Ok(()),
    }
}
