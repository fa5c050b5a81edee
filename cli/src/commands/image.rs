//! `arame image …`

mod bring;

use super::{Waiting, copies, record};
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{self, fields};
use crate::words::Message;
use arame_schema::api::{Image, Language};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List images / 一覧
    List,
    /// Show an image / 詳細を表示する
    Show { image: String },
    /// Register an image by the address of its file / アドレスから登録する
    Register {
        /// https://…
        uri: String,
        #[command(flatten)]
        described: bring::Described,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Upload an image's file / ファイルをアップロードする
    Upload {
        file: PathBuf,
        /// An image that waits for its bytes, instead of a new one / 送信待ちのイメージ
        #[arg(long, value_name = "IMAGE", conflicts_with_all = ["name", "description", "arch", "public"])]
        to: Option<String>,
        #[command(flatten)]
        described: bring::Described,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Change an image: display_name=… description=… / 変更する
    Update {
        image: String,
        #[command(flatten)]
        given: record::Given,
    },
    /// Copy its file to a backup storage / バックアップの保存先へ写す
    Copy(copies::Copy),
    /// Delete an image of which no instance was made / 削除する
    Delete { image: String },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let images: Vec<Image> = session.client.list("/images").await?;
            let (yes, no) = (session.word(Message::Yes), session.word(Message::No));
            session.print(&images, |language| {
                let head = [
                    Message::Id,
                    Message::Name,
                    Message::State,
                    Message::Size,
                    Message::Format,
                    Message::Public,
                    Message::Created,
                ];
                let rows = images.iter().map(|one| {
                    vec![
                        one.id.clone(),
                        one.display_name.clone().unwrap_or_default(),
                        one.state.clone(),
                        table::size(one.size),
                        one.file_format.clone(),
                        if one.is_public { yes } else { no }.to_owned(),
                        one.created_at.to_string(),
                    ]
                });
                table::table(language, &head, rows.collect())
            })
        }
        Command::Register { uri, described, waiting } => bring::register(session, &uri, described, waiting).await,
        Command::Upload { file, to, described, waiting } => {
            bring::upload(session, &file, to.as_deref(), described, waiting).await
        }
        Command::Update { image, given } => {
            let id = names::id_of::<Image>(&session.client, &image).await?;
            record::run(session, &record::IMAGES, record::Command::Update { id, given }).await
        }
        Command::Copy(asked) => copies::copy(session, asked).await,
        Command::Delete { image } => {
            let id = names::id_of::<Image>(&session.client, &image).await?;
            let given = record::Given::default();
            record::run(session, &record::IMAGES, record::Command::Delete { id, given }).await
        }
        Command::Show { image } => {
            let view: Image = names::get(&session.client, &image).await?;
            session.print(&view, |language| shown(language, &view))
        }
    }
}

pub(super) fn shown(language: Language, view: &Image) -> String {
    let mut pairs = vec![
        (Message::Id, view.id.clone()),
        (Message::Name, view.display_name.clone().unwrap_or_default()),
        (Message::State, view.state.clone()),
        (Message::Size, table::size(view.size)),
        (Message::Format, view.file_format.clone()),
        (Message::Fingerprint, view.checksum.clone()),
        (Message::Description, view.description.clone()),
        (Message::Created, view.created_at.to_string()),
    ];
    if let Some(failure) = &view.failure {
        pairs.push((Message::Failure, failure.sentence.clone()));
        pairs.push((Message::Cause, failure.cause.clone()));
        pairs.push((Message::NextStep, failure.next_step.clone()));
    }
    fields(language, pairs)
}
