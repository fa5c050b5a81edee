//! Silences of nodes: that an agent is heard no more is told once, and once that it is heard again.
//!
//! Rule: a silence counts only while this process listened all the time and heard somebody else, as with the naming services
//! ([`super::networks::naming`]): after its own outage, or one of the broker or the database, everybody is given the time again.

use super::{App, AppError};
use crate::db;
use crate::db::agents::{News, Voice};
use crate::db::events::NewEvent;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Looks (one every two seconds) at which an agent was not heard, before it is told: with the three heartbeats after which it
/// counts as offline some twenty seconds, longer than the restart of a program.
const LOOKS_UNTIL_TOLD: u32 = 4;

/// What one dcmgr heard, look by look.
#[derive(Debug, Default)]
pub struct Watch {
    missed: Mutex<BTreeMap<String, u32>>,
}

impl Watch {
    /// Counts a look. Answers what is to be told now.
    fn look(&self, news: Vec<News>, is_listening: bool) -> Vec<News> {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_listening {
            missed.clear();
            return Vec::new();
        }
        let before = std::mem::take(&mut *missed);
        let mut due = Vec::new();
        for one in news {
            let looks = before.get(&one.agent).copied().unwrap_or(0) + 1;
            if one.voice == Voice::Heard || looks >= LOOKS_UNTIL_TOLD {
                due.push(one);
            } else {
                missed.insert(one.agent, looks);
            }
        }
        due
    }

    /// What was heard before it was deaf counts no more.
    pub fn forget(&self) {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Looks at who is heard, and tells what is news.
///
/// # Errors
/// The database's: the next look goes on.
pub async fn tend(app: &App) -> Result<(), AppError> {
    let news = db::agents::news(app.db()).await?;
    let is_listening = app.is_broker_up() && (news.is_empty() || db::agents::anybody_is_heard(app.db()).await?);
    for one in app.silence_watch().look(news, is_listening) {
        tell(app, &one).await?;
    }
    Ok(())
}

/// Of two dcmgr that see the same one writes.
async fn tell(app: &App, news: &News) -> Result<(), AppError> {
    crate::change!(app, "tell a silence", None, |tx, _ringing| {
        let (code, values) = match news.voice {
            Voice::Silent => {
                if !db::agents::fell_silent(tx, &news.agent).await? {
                    return Ok(());
                }
                ("node_silent", vec![("agent", news.agent.clone())])
            }
            Voice::Heard => {
                let Some(seconds) = db::agents::heard_again(tx, &news.agent).await? else { return Ok(()) };
                ("node_heard", vec![("agent", news.agent.clone()), ("seconds", seconds.to_string())])
            }
        };
        // Only who sees all accounts is told.
        let event = NewEvent { account: None, resource: &news.node, code, values: &values, job: None, request: None };
        Ok(db::events::insert(tx, &event).await?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(agent: &str, voice: Voice) -> News {
        News { agent: agent.into(), node: format!("hn-{agent}"), voice }
    }

    fn told(watch: &Watch, all: &[News], is_listening: bool) -> Vec<String> {
        watch.look(all.to_vec(), is_listening).into_iter().map(|one| one.agent).collect()
    }

    #[test]
    fn a_silence_is_told_after_its_looks_in_a_row_and_a_return_at_once() {
        let watch = Watch::default();
        let silent = [news("a", Voice::Silent)];
        for _ in 1..LOOKS_UNTIL_TOLD {
            assert_eq!(told(&watch, &silent, true), [""; 0]);
        }
        assert_eq!(told(&watch, &silent, true), ["a"]);
        assert_eq!(told(&watch, &[news("a", Voice::Heard)], true), ["a"]);
    }

    #[test]
    fn who_was_heard_in_between_and_who_listens_anew_begins_again() {
        let watch = Watch::default();
        let silent = [news("a", Voice::Silent)];
        for between in [(&[][..], true), (&silent[..], false)] {
            for _ in 1..LOOKS_UNTIL_TOLD {
                assert_eq!(told(&watch, &silent, true), [""; 0]);
            }
            assert_eq!(told(&watch, between.0, between.1), [""; 0]);
            assert_eq!(told(&watch, &silent, true), [""; 0], "it was counted on");
            watch.forget();
        }
        for _ in 1..LOOKS_UNTIL_TOLD {
            assert_eq!(told(&watch, &silent, true), [""; 0]);
        }
        assert_eq!(told(&watch, &silent, true), ["a"], "the control");
    }
}
