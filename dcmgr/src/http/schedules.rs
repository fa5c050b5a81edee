//! `/volumes/{id}/schedules`: what is made of a volume by the clock, and how many of those are kept.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::{Fields, short};
use super::list::{self, ListQuery};
use arame_schema::api::schedule::{KEEP_MAX, ScheduleOrPlan};
use arame_schema::api::{Page, Refusal, SetVolumeSchedule, VolumeSchedule};
use arame_schema::model::schedule::{Every, Makes, Weekday};
use arame_schema::model::{VolumeId, VolumeScheduleId};
use axum::response::{IntoResponse, Response};
use std::str::FromStr;

const ID: &str = "vol-…";

/// Longest name: what is made is named so, with its moment behind.
const NAME_BYTES_MAX: usize = 200;

/// Longest name of a time zone: the column's width.
const ZONE_BYTES_MAX: usize = 64;

/// List the schedules of a volume, each with its last run.
#[utoipa::path(get, path = "/volumes/{id}/schedules", tag = "volumes", params(ListQuery),
    responses((status = 200, body = Page<VolumeSchedule>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<VolumeSchedule>; 1]> {
    let id: VolumeId = asked.id(ID)?;
    let filter = list::filter(&mut asked.fields)?;
    let page = app::schedules::list(asked.app(), &asked.caller, id.as_str(), filter).await?;
    asked.page(page)
}

/// Show a schedule of a volume with its last runs.
#[utoipa::path(get, path = "/volumes/{id}/schedules/{schedule}", tag = "volumes", params(("schedule" = String, Path)),
    responses((status = 200, body = VolumeSchedule)))]
pub async fn get(asked: Asked) -> Answer<VolumeSchedule> {
    let (id, schedule) = schedule_of(&asked)?;
    let view = app::schedules::get(asked.app(), &asked.caller, id.as_str(), schedule.as_str()).await?;
    asked.answer(view)
}

/// Make snapshots or backups of a volume every hour, day or week, or with `plan=true` only say what that would do.
#[utoipa::path(post, path = "/volumes/{id}/schedules", tag = "volumes", request_body = SetVolumeSchedule,
    params(("plan" = Option<bool>, Query,
        description = "Answer when it would come and what would refuse a run now, and make nothing.")),
    responses((status = 200, body = ScheduleOrPlan)))]
pub async fn create(mut asked: Asked) -> Result<Response, Refused> {
    let id: VolumeId = asked.id(ID)?;
    let plan = asked.fields.flag("plan")?.unwrap_or(false);
    let request = set_schedule(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    if plan {
        let plan = app::schedules::plan(asked.app(), &asked.caller, (id.as_str(), None), request).await?;
        return Ok(asked.answer(plan)?.into_response());
    }
    let view = app::schedules::create(asked.app(), &asked.caller, id.as_str(), request).await?;
    Ok(asked.answer(view)?.into_response())
}

/// Change a schedule. What is absent stays. With `plan=true` only say what it would do then, and what would be deleted.
#[utoipa::path(put, path = "/volumes/{id}/schedules/{schedule}", tag = "volumes", params(("schedule" = String, Path),
        ("plan" = Option<bool>, Query, description = "Answer when it would come, what would be kept and deleted after its \
            next run that ends well, and what would refuse one now; change nothing.")),
    request_body = SetVolumeSchedule, responses((status = 200, body = ScheduleOrPlan)))]
pub async fn update(mut asked: Asked) -> Result<Response, Refused> {
    let (id, schedule) = schedule_of(&asked)?;
    let plan = asked.fields.flag("plan")?.unwrap_or(false);
    let request = set_schedule(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let (app, caller, of) = (asked.app(), &asked.caller, (id.as_str(), schedule.as_str()));
    if plan {
        let plan = app::schedules::plan(app, caller, (of.0, Some(of.1)), request).await?;
        return Ok(asked.answer(plan)?.into_response());
    }
    let view = app::schedules::update(app, caller, of, request).await?;
    Ok(asked.answer(view)?.into_response())
}

/// Delete a schedule. What it made stays.
#[utoipa::path(delete, path = "/volumes/{id}/schedules/{schedule}", tag = "volumes", params(("schedule" = String, Path)),
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let (id, schedule) = schedule_of(&asked)?;
    let gone = app::schedules::delete(asked.app(), &asked.caller, id.as_str(), schedule.as_str()).await?;
    asked.answer(gone)
}

fn schedule_of(asked: &Asked) -> Result<(VolumeId, VolumeScheduleId), Refused> {
    let text = asked.part("schedule");
    let schedule = text.parse().map_err(|_| asked.fields.invalid("schedule", short(text), "vsc-…"))?;
    Ok((asked.id(ID)?, schedule))
}

fn word<T: FromStr>(fields: &mut Fields, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
    fields.parsed(name, expected)
}

fn small(fields: &mut Fields, name: &str, most: u64) -> Result<Option<u8>, Refusal> {
    Ok(fields.number(name, 0..=most)?.and_then(|number| u8::try_from(number).ok()))
}

fn kept(fields: &mut Fields, name: &str) -> Result<Option<u32>, Refusal> {
    Ok(fields.number(name, 0..=KEEP_MAX)?.and_then(|number| u32::try_from(number).ok()))
}

fn set_schedule(fields: &mut Fields) -> Result<SetVolumeSchedule, Refusal> {
    Ok(SetVolumeSchedule {
        every: word(fields, "every", &Every::expected())?,
        makes: word(fields, "makes", &Makes::expected())?,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?,
        backup_storage_id: word(fields, "backup_storage_id", "bkst-… | none")?,
        minute: small(fields, "minute", 59)?,
        hour: small(fields, "hour", 23)?,
        weekday: word(fields, "weekday", &Weekday::expected())?,
        time_zone: fields.text_within("time_zone", ZONE_BYTES_MAX)?.filter(|name| !name.is_empty()),
        keep_last: kept(fields, "keep_last")?,
        keep_hourly: kept(fields, "keep_hourly")?,
        keep_daily: kept(fields, "keep_daily")?,
        keep_weekly: kept(fields, "keep_weekly")?,
        keep_monthly: kept(fields, "keep_monthly")?,
        enabled: fields.flag("enabled")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;
    use arame_schema::api::Code;

    fn read(body: &str) -> Result<SetVolumeSchedule, Refusal> {
        set_schedule(&mut parameters("", "", body.as_bytes()).unwrap())
    }

    #[test]
    fn a_schedule_is_read_word_by_word_and_what_no_clock_shows_is_refused() {
        let read_whole =
            read("every=week&weekday=sunday&hour=3&minute=5&keep_weekly=4&backup_storage_id=none").unwrap();
        assert_eq!((read_whole.every, read_whole.weekday), (Some(Every::Week), Some(Weekday::Sunday)));
        assert_eq!((read_whole.hour, read_whole.minute, read_whole.keep_weekly), (Some(3), Some(5), Some(4)));
        assert_eq!(read("").unwrap(), SetVolumeSchedule::default());
        for body in
            ["every=month", "hour=24", "minute=60", "weekday=sun", "keep_last=-1", "keep_last=9999", "makes=copy"]
        {
            assert_eq!(read(body).unwrap_err().code, Code::InvalidParameter, "{body}");
        }
    }
}
