//! Exports by tgt, the user-space iSCSI target daemon.
//!
//! ```text
//! ensure: remember Begun ─ target ─ LUN ─ account ─ bind account ─ allow initiator ─ remember Standing
//! fence:  remove ─ knock at the portal as the old initiator: refused
//! remove: deny initiator ─ unbind account ─ close sessions until none ─ target ─ account ─ read back
//! ```
//!
//! Rule: the initiator is allowed last and denied first, so a half-made target lets nobody in and a dying one lets
//! nobody back. One lock around every change: target numbers are picked by reading the list. The daemon itself is
//! started by whoever runs the node; a restarted one has no targets, which the inventory shows.

pub mod listing;
pub mod socket;

use super::marks::Marks;
use super::{Export, ExportError, Fence, Stage, Target, TargetMark, Wish, iqn, knock, parse_iqn, proof, refusal};
use crate::faults::Faults;
use arame_framework::agent::Standing;
use arame_schema::jobs::sta::FenceProof;
use arame_schema::model::AttachmentId;
use async_trait::async_trait;
use listing::Listed;
use socket::{Answer, Code, Mode, Op, Request, Socket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Closing a session waits for the commands in flight; a disk that does not answer for this long is not fenced.
const SESSIONS_CLOSE: Duration = Duration::from_secs(20);
/// The daemon has no notice for an ended session: look again after this.
const SESSIONS_LOOK: Duration = Duration::from_millis(20);
/// INQUIRY has 8 bytes for a vendor.
const VENDOR: &str = "ARAME";

pub struct TgtExport {
    socket: Socket,
    marks: Marks,
    prefix: String,
    portal: String,
    faults: Arc<Faults>,
    changing: Mutex<()>,
}

impl TgtExport {
    pub fn new(socket: Socket, marks: Marks, prefix: String, portal: String, faults: Arc<Faults>) -> Self {
        Self { socket, marks, prefix, portal, faults, changing: Mutex::new(()) }
    }

    async fn listed(&self) -> Result<Vec<Listed>, ExportError> {
        let answer = self.socket.ask(&Request::new(Mode::Target, Op::Show)).await?;
        listing::targets(&answer.text).map_err(|line| ExportError::Unavailable {
            reason: format!("its list of targets cannot be read at `{line}`"),
        })
    }

    async fn accounts(&self) -> Result<Vec<String>, ExportError> {
        let answer = self.socket.ask(&Request::new(Mode::Account, Op::Show)).await?;
        Ok(listing::accounts(&answer.text))
    }

    /// Does one step, or says what the daemon said.
    async fn step(&self, doing: &'static str, request: Request) -> Result<(), ExportError> {
        self.step_or(doing, request, &[]).await
    }

    /// The same where some refusals mean that the step is done already.
    async fn step_or(&self, doing: &'static str, request: Request, fine: &[Code]) -> Result<(), ExportError> {
        let Answer { code, .. } = self.socket.ask(&request).await?;
        if code == Code::SUCCESS || fine.contains(&code) {
            return Ok(());
        }
        Err(ExportError::Refused { doing, reason: code.to_string() })
    }

    async fn make(&self, wish: &Wish, listed: &[Listed]) -> Result<(), ExportError> {
        let tid = free_number(listed);
        let name = iqn(&self.prefix, &wish.attachment, wish.epoch);
        let user = &wish.chap_user;
        self.faults.hit("export:before").await?;
        self.marks.write(&wish.mark(Stage::Begun))?;
        self.faults.hit("export:remembered").await?;
        self.step("create the target", Request::new(Mode::Target, Op::New).tid(tid).text("targetname", &name)).await?;
        self.faults.hit("export:target").await?;
        let path = wish.path.display().to_string();
        self.step("add the LUN", Request::new(Mode::Device, Op::New).tid(tid).lun(1).text("path", &path)).await?;
        // Own words for the daemon's device type module, which reads them after `targetOps`.
        let identity = format!("vendor_id={VENDOR},product_id=VOLUME,scsi_sn={0},scsi_id={0}", wish.key);
        let update = Request::new(Mode::Device, Op::Update).tid(tid).lun(1).raw(format!("targetOps {identity}"));
        self.step("name the LUN", update).await?;
        self.faults.hit("export:lun").await?;
        // An account left by an earlier try has another secret.
        let stale = Request::new(Mode::Account, Op::Delete).text("user", user);
        self.step_or("remove an old account", stale, &[Code::NO_USER]).await?;
        let account = format!("user={user},password={}", wish.chap_secret.expose());
        let account = Request::new(Mode::Account, Op::New).raw(account);
        self.step("create the account", account).await?;
        self.faults.hit("export:account").await?;
        self.step("bind the account", Request::new(Mode::Account, Op::Bind).tid(tid).text("user", user)).await?;
        self.faults.hit("export:bound").await?;
        let allow = Request::new(Mode::Target, Op::Bind).tid(tid).text("initiator-name", &wish.initiator_iqn);
        self.step("allow the initiator", allow).await?;
        self.faults.hit("export:allowed").await?;
        self.marks.write(&wish.mark(Stage::Standing { fingerprint: super::fingerprint(wish) }))?;
        Ok(self.faults.hit("export:after").await?)
    }

    async fn take_down(&self, found: &Listed) -> Result<(), ExportError> {
        self.faults.hit("unexport:before").await?;
        for name in &found.initiators {
            let deny = Request::new(Mode::Target, Op::Unbind).tid(found.tid).text("initiator-name", name);
            self.step_or("deny the initiator", deny, &[Code::ACL_NOEXIST]).await?;
        }
        for user in &found.accounts {
            let unbind = Request::new(Mode::Account, Op::Unbind).tid(found.tid).text("user", user);
            self.step_or("unbind the account", unbind, &[Code::NO_USER]).await?;
        }
        self.faults.hit("unexport:denied").await?;
        self.close_sessions(found).await?;
        self.faults.hit("unexport:closed").await?;
        // Forced: the LUN goes with it. There is no session left to be cut.
        let delete = Request::new(Mode::Target, Op::Delete).tid(found.tid).forced();
        self.step_or("delete the target", delete, &[Code::NO_TARGET]).await?;
        Ok(self.faults.hit("unexport:target").await?)
    }

    async fn close_sessions(&self, found: &Listed) -> Result<(), ExportError> {
        let deadline = Instant::now() + SESSIONS_CLOSE;
        loop {
            let Some(now) = self.listed().await?.into_iter().find(|target| target.iqn == found.iqn) else {
                return Ok(());
            };
            if now.sessions.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ExportError::Remains { what: format!("a session of {}", found.iqn) });
            }
            for session in &now.sessions {
                for connection in &session.connections {
                    let close = Request::new(Mode::Connection, Op::Delete).tid(now.tid);
                    let close = close.connection(session.id, *connection);
                    let gone = [Code::NO_SESSION, Code::NO_CONNECTION];
                    self.step_or("close the session", close, &gone).await?;
                }
            }
            tokio::time::sleep(SESSIONS_LOOK).await;
        }
    }

    async fn delete_account(&self, user: &str) -> Result<(), ExportError> {
        let delete = Request::new(Mode::Account, Op::Delete).text("user", user);
        self.step_or("delete the account", delete, &[Code::NO_USER]).await?;
        Ok(self.faults.hit("unexport:account").await?)
    }

    async fn read_back_gone(&self, name: &str, users: &[String]) -> Result<(), ExportError> {
        if self.listed().await?.iter().any(|target| target.iqn == name) {
            return Err(ExportError::Remains { what: name.to_owned() });
        }
        match self.accounts().await?.into_iter().find(|user| users.contains(user)) {
            Some(user) => Err(ExportError::Remains { what: format!("the account {user}") }),
            None => Ok(()),
        }
    }

    fn target(&self, listed: Listed) -> Option<Target> {
        let (attachment, epoch) = parse_iqn(&self.prefix, &listed.iqn)?;
        let mark = self.marks.read(&attachment).filter(|mark| mark.epoch == epoch);
        Some(Target {
            iqn: listed.iqn,
            attachment,
            epoch,
            path: listed.path,
            initiators: listed.initiators,
            accounts: listed.accounts,
            sessions: listed.sessions.into_iter().map(|session| session.initiator).collect(),
            mark,
        })
    }
}

#[async_trait]
impl Export for TgtExport {
    fn kind(&self) -> &'static str {
        "tgt"
    }

    fn portal(&self) -> &str {
        &self.portal
    }

    async fn list(&self) -> Result<Vec<Target>, ExportError> {
        let listed = self.listed().await?;
        Ok(listed.into_iter().filter_map(|one| self.target(one)).collect())
    }

    async fn recall(&self, attachment: &AttachmentId) -> Result<Option<TargetMark>, ExportError> {
        Ok(self.marks.read(attachment))
    }

    async fn ensure(&self, wish: &Wish) -> Result<(), ExportError> {
        wish.check()?;
        let _changing = self.changing.lock().await;
        let listed = self.listed().await?;
        let name = iqn(&self.prefix, &wish.attachment, wish.epoch);
        if listed.iter().any(|one| one.iqn != name && one.accounts.contains(&wish.chap_user)) {
            return Err(ExportError::Foreign { what: wish.chap_user.clone() });
        }
        let Some(standing) = listed.iter().find(|one| one.iqn == name) else {
            return self.make(wish, &listed).await;
        };
        match self.target(standing.clone()) {
            // Only the wish's number is newer.
            Some(target) if target.fits(wish) => {
                self.marks.write(&wish.mark(Stage::Standing { fingerprint: super::fingerprint(wish) }))
            }
            // Half-made, or with another secret: easier to understand when made anew than when mended.
            _ => {
                self.take_down(standing).await?;
                self.make(wish, &self.listed().await?).await
            }
        }
    }

    async fn remove(&self, attachment: &AttachmentId, epoch: u64) -> Result<(), ExportError> {
        let _changing = self.changing.lock().await;
        let name = iqn(&self.prefix, attachment, epoch);
        let (gone, others): (Vec<_>, Vec<_>) = self.listed().await?.into_iter().partition(|one| one.iqn == name);
        // A removal that was cut short has unbound the account already: the mark still knows it.
        let remembered = self.marks.read(attachment).filter(|mark| mark.epoch == epoch).map(|mark| mark.chap_user);
        let mut users: Vec<String> = gone.iter().flat_map(|one| one.accounts.clone()).chain(remembered).collect();
        users.retain(|user| !others.iter().any(|other| other.accounts.contains(user)));
        for found in &gone {
            self.take_down(found).await?;
        }
        for user in &users {
            self.delete_account(user).await?;
        }
        self.read_back_gone(&name, &users).await?;
        Ok(self.faults.hit("unexport:after").await?)
    }

    async fn ensure_fenced(&self, fence: &Fence, standing: &Standing) -> Result<FenceProof, ExportError> {
        let name = iqn(&self.prefix, &fence.attachment, fence.epoch);
        let open = self.listed().await?.into_iter().filter(|one| one.iqn == name);
        let sessions = open.flat_map(|one| one.sessions).map(|session| session.initiator).collect();
        self.remove(&fence.attachment, fence.epoch).await?;
        self.faults.hit("fence:removed").await?;
        // Between two looks, so that a hang-up is known to be that of a daemon that had none all the time.
        let none_before = self.listed().await?.is_empty();
        let answer = knock::knock(&self.portal, &fence.initiator_iqn, &name).await;
        let none = none_before && self.listed().await?.is_empty();
        self.faults.hit("fence:refused").await?;
        proof(fence, name, sessions, refusal(answer, !none), standing)
    }

    async fn forget(&self, mark: &TargetMark) -> Result<(), ExportError> {
        self.marks.write(&TargetMark { stage: Stage::Removed, ..mark.clone() })
    }
}

fn free_number(listed: &[Listed]) -> i32 {
    (1..).find(|tid| listed.iter().all(|one| one.tid != *tid)).unwrap_or(i32::MAX)
}
