//! Labels of instances, images, security groups and keys.
//!
//! Rule: a label belongs to a resource the caller may see, and is changed only on one of its own account.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::label::{LABEL_VALUE_BYTES_MAX, LABELS_MAX};
use arame_schema::api::{Code, Image, Instance, Label, Refusal, SecurityGroup, SshKeyPair};
use std::collections::BTreeMap;

/// Bytes of a label's name: the column's width.
const NAME_BYTES_MAX: usize = 255;

/// The account a labelled resource belongs to, if the caller may see it.
async fn owner(app: &App, caller: &Caller, id: &str) -> Result<String, Refusal> {
    Ok(match id.split('-').next() {
        Some("i") => super::instances::get(app, caller, id).await?.account_id,
        Some("wmi") => super::images::get(app, caller, id).await?.account_id,
        Some("sg") => super::security_groups::get(app, caller, id).await?.account_id,
        Some("ssh") => super::ssh_key_pairs::get(app, caller, id).await?.account_id,
        _ => return Err(Refusal::unknown(id)),
    })
}

/// All of them, or those whose names begin with what stands before a final `*`.
pub async fn list(app: &App, caller: &Caller, id: &str, name: Option<&str>) -> Result<Vec<Label>, Refusal> {
    owner(app, caller, id).await?;
    let mut labels = db::labels::of(app.db(), id).await.map_err(AppError::from)?;
    if let Some(name) = name {
        match name.strip_suffix('*') {
            Some(prefix) => labels.retain(|label| label.name.starts_with(prefix)),
            None => labels.retain(|label| label.name == name),
        }
    }
    Ok(labels)
}

pub async fn get(app: &App, caller: &Caller, id: &str, name: &str) -> Result<Label, Refusal> {
    owner(app, caller, id).await?;
    let labels = db::labels::of(app.db(), id).await.map_err(AppError::from)?;
    let found = labels.into_iter().find(|label| label.name == name);
    found.ok_or_else(|| unknown(id, name))
}

fn unknown(id: &str, name: &str) -> Refusal {
    Refusal::new(Code::UnknownLabel).with("id", id).with("name", name)
}

/// Checks a label's form; also for creations that bring some.
pub fn check(name: &str, value: &str) -> Result<(), Refusal> {
    let invalid = |what: &str, value: &str, expected: String| {
        let value: String = value.chars().take(80).collect();
        Err(Refusal::new(Code::InvalidParameter).with("name", what).with("value", value).with("expected", expected))
    };
    let formed = !name.is_empty() && !name.contains('*') && !name.chars().any(char::is_control);
    if !formed || name.len() > NAME_BYTES_MAX {
        return invalid("name", name, format!("1..{NAME_BYTES_MAX} bytes without *"));
    }
    if value.len() > LABEL_VALUE_BYTES_MAX {
        return invalid("value", value, format!("<= {LABEL_VALUE_BYTES_MAX} bytes"));
    }
    Ok(())
}

async fn check_own(app: &App, caller: &Caller, id: &str) -> Result<(), Refusal> {
    let account = owner(app, caller, id).await?;
    // A public image is seen by everybody and labelled by its own account.
    if caller.scope().is_none_or(|own| own == account) { Ok(()) } else { Err(Refusal::unknown(id)) }
}

/// Sets labels, all or none. What had the name has the new value.
pub async fn set(app: &App, caller: &Caller, id: &str, labels: &[(String, String)]) -> Result<Vec<Label>, Refusal> {
    check_own(app, caller, id).await?;
    for (name, value) in labels {
        check(name, value)?;
    }
    crate::change!(app, "set labels", Some(caller.request), |tx, _ringing| {
        for (name, value) in labels {
            db::labels::set(tx, id, name, value).await?;
        }
        if db::labels::count(tx, id).await? > LABELS_MAX as u64 {
            let refusal = Refusal::new(Code::TooMany).with("id", id).with("what", "labels");
            return Err(refusal.with("limit", LABELS_MAX).into());
        }
        Ok(db::events::audit(tx, &caller.who(), "label.set", id).await?)
    })?;
    let all = list(app, caller, id, None).await?;
    Ok(all.into_iter().filter(|label| labels.iter().any(|(name, _)| *name == label.name)).collect())
}

pub async fn delete(app: &App, caller: &Caller, id: &str, name: &str) -> Result<(), Refusal> {
    check_own(app, caller, id).await?;
    crate::change!(app, "delete label", Some(caller.request), |tx, _ringing| {
        if !db::labels::delete(tx, id, name).await? {
            return Err(unknown(id, name).into());
        }
        Ok(db::events::audit(tx, &caller.who(), "label.delete", id).await?)
    })
    .map_err(Refusal::from)
}

/// Takes every label away.
pub async fn delete_all(app: &App, caller: &Caller, id: &str) -> Result<(), Refusal> {
    check_own(app, caller, id).await?;
    crate::change!(app, "delete labels", Some(caller.request), |tx, _ringing| {
        db::labels::forget(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "label.delete", id).await?)
    })
    .map_err(Refusal::from)
}

/// A view that shows its labels.
pub(super) trait Labelled {
    fn labelled(&mut self) -> (&str, &mut Vec<Label>);
}

macro_rules! labelled {
    ($($view:ty),*) => {
        $(impl Labelled for $view {
            fn labelled(&mut self) -> (&str, &mut Vec<Label>) {
                (&self.id, &mut self.labels)
            }
        })*
    };
}

labelled!(Instance, Image, SecurityGroup, SshKeyPair);

impl<T: Labelled> Labelled for &mut T {
    fn labelled(&mut self) -> (&str, &mut Vec<Label>) {
        T::labelled(self)
    }
}

/// Writes the labels into the views of a page.
pub(super) async fn attach<T: Labelled>(app: &App, views: &mut [T]) -> Result<(), Refusal> {
    let ids: Vec<String> = views.iter_mut().map(|view| view.labelled().0.to_owned()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = db::labels::of_many(app.db(), &ids).await.map_err(AppError::from)?;
    let mut of: BTreeMap<String, Vec<Label>> = BTreeMap::new();
    for label in found {
        of.entry(label.resource_uuid.clone()).or_default().push(label);
    }
    for view in views {
        let (id, labels) = view.labelled();
        if let Some(found) = of.remove(id) {
            *labels = found;
        }
    }
    Ok(())
}
