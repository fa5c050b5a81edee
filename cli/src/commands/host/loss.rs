//! `arame host declare-lost`: what would be lost and freed is shown first; the host's id, said once more, does it.
//!
//! Rule: nothing is done without that word, on a terminal or not.

use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::{Message, say, word};
use arame_schema::api::{DeclareLost, HostLoss, HostNode, InstanceFate, Language};

pub async fn run(session: &mut Session<'_>, host: &str, confirm: Option<String>) -> Result<(), CliError> {
    let id = names::id_of::<HostNode>(&session.client, host).await?;
    let path = format!("/host_nodes/{id}/declare_lost");
    let loss: HostLoss = match confirm {
        None => session.client.put(&format!("{path}?plan=true"), &DeclareLost::default()).await?,
        confirm => session.client.put(&path, &DeclareLost { confirm }).await?,
    };
    session.print(&loss, |language| told(language, &loss))
}

fn told(language: Language, loss: &HostLoss) -> String {
    let seen = loss.last_seen_at.map(|at| at.to_string()).unwrap_or_default();
    let mut text = fields(language, vec![(Message::Host, loss.id.clone()), (Message::LastSeen, seen)]);
    let head = [Message::Instance, Message::Name, Message::WhatFollows];
    let rows = loss
        .instances
        .iter()
        .map(|one| vec![one.id.clone(), one.hostname.clone(), word(language, fate(one.fate)).to_owned()]);
    text.push_str(&table(language, &head, rows.collect()));
    let head = [Message::Volumes, Message::Instance, Message::WhatFollows];
    let rows = loss.volumes.iter().map(|one| {
        let follows = if one.follows_instance { Message::VolumeFollows } else { Message::VolumeFreed };
        vec![one.id.clone(), one.instance_id.clone(), word(language, follows).to_owned()]
    });
    text.push_str(&table(language, &head, rows.collect()));
    for refusal in &loss.refusals {
        text.push_str(&format!("{}: {}\n", word(language, Message::Error), refusal.message));
        text.push_str(&format!("{}: {}\n", word(language, Message::NextStep), refusal.next_step));
    }
    let end = if loss.declared { Message::DeclaredLost } else { Message::WouldBeLost };
    if loss.declared || loss.refusals.is_empty() {
        text.push_str(&say(language, end, &[("host", &loss.id)]));
        text.push('\n');
    }
    text
}

fn fate(fate: InstanceFate) -> Message {
    match fate {
        InstanceFate::Lost => Message::FateLost,
        InstanceFate::PlacedAgain => Message::FatePlacedAgain,
        InstanceFate::Stays => Message::FateStays,
        InstanceFate::Undecided => Message::FateUndecided,
        InstanceFate::Ended => Message::FateEnded,
    }
}
