//! `/reports` and `/accounts/{id}/usage`: what was used, as JSON, YAML, or a table for a spreadsheet.

use super::answer::Refused;
use super::app;
use super::asked::Asked;
use super::front::Form;
use super::list;
use app::usage::Narrowed;
use arame_schema::api::{Refusal, Span, UsageInterval, UsageNowOrOverTime};
use arame_schema::model::AccountId;
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

const ACCOUNT: &str = "a-…";

const TYPES: [&str; 3] = ["instance", "volume", "address"];
const WHAT: [&str; 3] = ["running", "kept", "held"];

fn table(text: String) -> Response {
    ([(CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], text).into_response()
}

/// One of a few words.
fn word(asked: &mut Asked, name: &str, known: &[&str]) -> Result<Option<String>, Refusal> {
    let Some(text) = asked.fields.text_within(name, 16)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    match known.contains(&text.as_str()) {
        true => Ok(Some(text)),
        false => Err(asked.fields.invalid(name, super::fields::short(&text), known.join(" | "))),
    }
}

/// Whether the answer is to be a table: `format=csv`, `.csv` or `Accept: text/csv`.
fn is_table(asked: &mut Asked) -> Result<bool, Refusal> {
    let format = word(asked, "format", &["json", "csv"])?;
    Ok(format.map_or(asked.frame().form == Form::Csv, |format| format == "csv"))
}

/// What was used from one moment to another (the last 31 days unless said). `format=csv` answers a table.
#[utoipa::path(get, path = "/reports", tag = "reports",
    params(("account_id" = Option<String>, Query, description = "Only of this account."),
        ("uuid" = Option<String>, Query, description = "Only of this resource."),
        ("resource_type" = Option<String>, Query, description = "`instance`, `volume` or `address`."),
        ("event_type" = Option<String>, Query, description = "`running`, `kept` or `held`."),
        ("used_since" = Option<String>, Query, description = "ISO 8601; `created_since` is the original's word for it."),
        ("used_until" = Option<String>, Query, description = "ISO 8601; `created_until` is the original's word for it."),
        ("format" = Option<String>, Query, description = "`json` or `csv`; also `.csv` and `Accept: text/csv`.")),
    responses((status = 200, body = Vec<UsageInterval>)))]
pub async fn usage(mut asked: Asked) -> Result<Response, Refused> {
    let account: Option<AccountId> = asked.fields.parsed("account_id", ACCOUNT)?;
    let span = list::span(&mut asked.fields, &["created", "used"])?;
    let to = Narrowed {
        account: account.map(String::from),
        resource: asked.fields.text_within("uuid", 63)?.filter(|text| !text.is_empty()),
        resource_type: word(&mut asked, "resource_type", &TYPES)?,
        what: word(&mut asked, "event_type", &WHAT)?,
    };
    let as_table = is_table(&mut asked)?;
    let told = app::usage::between(asked.app(), &asked.caller, to, span).await?;
    if as_table {
        return Ok(table(app::usage::csv(&told)));
    }
    Ok(Json(told).into_response())
}

/// What an account uses now, by the original's quota keys; with `since` or `until` what it used in that time, by kind.
#[utoipa::path(get, path = "/accounts/{id}/usage", tag = "accounts",
    params(("since" = Option<String>, Query, description = "ISO 8601; 31 days before `until` unless said."),
        ("until" = Option<String>, Query, description = "ISO 8601; now unless said."),
        ("format" = Option<String>, Query, description = "`json` or `csv`; also `.csv` and `Accept: text/csv`.")),
    responses((status = 200, body = UsageNowOrOverTime)))]
pub async fn of_account(mut asked: Asked) -> Result<Response, Refused> {
    let id: AccountId = asked.id(ACCOUNT)?;
    let span = between(&mut asked)?;
    let as_table = is_table(&mut asked)?;
    if span == Span::default() && !as_table {
        let now = app::accounts::usage(asked.app(), &asked.caller, id.as_str()).await?;
        return Ok(asked.answer(now)?.into_response());
    }
    let told = app::usage::over_time(asked.app(), &asked.caller, id.as_str(), span).await?;
    if as_table {
        return Ok(table(app::usage::totals_csv(&told)));
    }
    Ok(asked.answer(told)?.into_response())
}

fn between(asked: &mut Asked) -> Result<Span, Refusal> {
    let (since, until) = (list::moment(&mut asked.fields, "since")?, list::moment(&mut asked.fields, "until")?);
    match (since, until) {
        (Some(from), Some(to)) if from >= to => Err(asked.fields.invalid("since", from, format!("< {to}"))),
        _ => Ok(Span { since, until }),
    }
}
