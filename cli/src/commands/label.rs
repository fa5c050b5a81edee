//! `arame label …`: labels of instances, images, security groups and keys.

use super::record::{escaped, pair};
use crate::failure::{CliError, USAGE};
use crate::session::Session;
use crate::table::table;
use crate::words::Message;
use arame_schema::api::Label;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the labels of a resource / 一覧
    List { resource: String },
    /// Show one / 一つを表示する
    Show { resource: String, name: String },
    /// Set several, all or none / まとめて付ける
    SetAll {
        resource: String,
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
        labels: Vec<(String, String)>,
    },
    /// Take every label away / すべて外す
    Clear { resource: String },
    /// Set a label / 付ける
    Set { resource: String, name: String, value: String },
    /// Take a label away / 外す
    Delete { resource: String, name: String },
}

/// Where the labels of a resource are, by what its id begins with.
fn path(session: &Session<'_>, resource: &str) -> Result<String, CliError> {
    let collection = match resource.split('-').next() {
        Some("i") => "instances",
        Some("wmi") => "images",
        Some("sg") => "security_groups",
        Some("ssh") => "ssh_key_pairs",
        _ => {
            let words = [Message::NoLabels, Message::NoLabelsCause, Message::NoLabelsNext];
            return Err(CliError::own(USAGE, session.language(), words, &[("id", resource)]));
        }
    };
    Ok(format!("/{collection}/{}/labels", escaped(resource)))
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List { resource } => {
            let labels: Vec<Label> = session.client.get(&path(session, &resource)?).await?;
            show(session, &labels)
        }
        Command::Show { resource, name } => {
            let place = format!("{}/{}", path(session, &resource)?, escaped(&name));
            let label: Label = session.client.get(&place).await?;
            show(session, std::slice::from_ref(&label))
        }
        Command::SetAll { resource, labels } => {
            let (names, values): (Vec<String>, Vec<String>) = labels.into_iter().unzip();
            let body = json!({ "name": names, "value": values });
            let labels: Vec<Label> = session.client.put(&path(session, &resource)?, &body).await?;
            show(session, &labels)
        }
        Command::Clear { resource } => {
            let answer: Value = session.client.delete(&path(session, &resource)?).await?;
            session.remark(Message::Deleted, &[("id", &resource)]);
            session.print(&answer, |_| String::new())
        }
        Command::Set { resource, name, value } => {
            let place = format!("{}/{}", path(session, &resource)?, escaped(&name));
            let label: Label = session.client.put(&place, &json!({ "value": value })).await?;
            show(session, std::slice::from_ref(&label))
        }
        Command::Delete { resource, name } => {
            let place = format!("{}/{}", path(session, &resource)?, escaped(&name));
            let answer: Value = session.client.delete(&place).await?;
            session.remark(Message::Deleted, &[("id", &name)]);
            session.print(&answer, |_| String::new())
        }
    }
}

fn show(session: &mut Session<'_>, labels: &[Label]) -> Result<(), CliError> {
    session.print(&labels, |language| {
        let rows = labels.iter().map(|one| vec![one.name.clone(), one.value.clone()]);
        table(language, &[Message::Name, Message::Value], rows.collect())
    })
}
