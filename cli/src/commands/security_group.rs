//! `arame security-group …`

use super::instance::read_file;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::Message;
use arame_schema::api::{Language, SecurityGroup, UpdateSecurityGroup};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List security groups / 一覧
    List,
    /// Show a security group / 詳細を表示する
    Show { group: String },
    /// Create a security group / 作成する
    Create {
        #[arg(long)]
        name: String,
        #[command(flatten)]
        rules: Rules,
    },
    /// Replace its rules / 規則を置き換える
    SetRules {
        group: String,
        #[command(flatten)]
        rules: Rules,
    },
    /// Change its words / 名前や説明を変える
    Update {
        group: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete a security group that nothing uses / 削除する
    Delete { group: String },
}

#[derive(Debug, clap::Args)]
pub struct Rules {
    /// Like tcp:22,22,ip4:0.0.0.0; several allowed, none closes everything / 規則（複数可）
    #[arg(value_name = "RULE")]
    pub rules: Vec<String>,
    /// File with one rule a line, - is standard input / 規則のファイル
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    pub file: Option<String>,
}

impl Rules {
    fn text(&self, session: &Session<'_>) -> Result<String, CliError> {
        match &self.file {
            Some(path) => read_file(session, path),
            None => Ok(self.rules.join("\n")),
        }
    }
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let groups: Vec<SecurityGroup> = session.client.list("/security_groups").await?;
            session.print(&groups, |language| {
                let rows = groups.iter().map(|one| {
                    vec![one.id.clone(), one.display_name.clone().unwrap_or_default(), lines(&one.rule).join("; ")]
                });
                table(language, &[Message::Id, Message::Name, Message::Rules], rows.collect())
            })
        }
        Command::Show { group } => {
            let view: SecurityGroup = names::get(&session.client, &group).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Create { name, rules } => {
            let body = json!({ "display_name": name, "rule": rules.text(session)? });
            let view: SecurityGroup = session.client.post("/security_groups", &body).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::SetRules { group, rules } => {
            let id = names::id_of::<SecurityGroup>(&session.client, &group).await?;
            let body = json!({ "rule": rules.text(session)? });
            let view: SecurityGroup = session.client.put(&format!("/security_groups/{id}"), &body).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Update { group, name, description } => {
            let id = names::id_of::<SecurityGroup>(&session.client, &group).await?;
            let body = UpdateSecurityGroup { display_name: name, description, rule: None };
            let view: SecurityGroup = session.client.put(&format!("/security_groups/{id}"), &body).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Delete { group } => {
            let id = names::id_of::<SecurityGroup>(&session.client, &group).await?;
            let answer: Vec<String> = session.client.delete(&format!("/security_groups/{id}")).await?;
            session.remark(Message::Deleted, &[("id", &id)]);
            session.print(&answer, |_| String::new())
        }
    }
}

fn lines(rule: &str) -> Vec<&str> {
    rule.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn show(language: Language, one: &SecurityGroup) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, one.display_name.clone().unwrap_or_default()),
        (Message::Description, one.description.clone()),
    ];
    pairs.extend(lines(&one.rule).into_iter().map(|line| (Message::Rules, line.to_owned())));
    fields(language, pairs)
}
