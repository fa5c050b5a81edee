//! `/reports`: what was used, by account and time, as JSON or as a table for a spreadsheet.

use super::answer::Refused;
use super::app;
use super::asked::Asked;
use super::list;
use arame_schema::api::UsageInterval;
use arame_schema::model::AccountId;
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// What was used from one moment to another (the last 31 days unless said). `format=csv` answers a table.
#[utoipa::path(get, path = "/reports", tag = "reports",
    params(("account_id" = Option<String>, Query, description = "Only of this account."),
        ("used_since" = Option<String>, Query, description = "ISO 8601."),
        ("used_until" = Option<String>, Query, description = "ISO 8601."),
        ("format" = Option<String>, Query, description = "`json` or `csv`.")),
    responses((status = 200, body = Vec<UsageInterval>)))]
pub async fn usage(mut asked: Asked) -> Result<Response, Refused> {
    let account: Option<AccountId> = asked.fields.parsed("account_id", "a-…")?;
    let span = list::span(&mut asked.fields, &["used"])?;
    let format = asked.fields.text_within("format", 16)?;
    let account = account.as_ref().map(AccountId::as_str);
    let told = app::usage::between(asked.app(), &asked.caller, account, span).await?;
    match format.as_deref() {
        None | Some("" | "json") => Ok(Json(told).into_response()),
        Some("csv") => {
            let text = app::usage::csv(&told);
            Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], text).into_response())
        }
        Some(other) => Err(asked.fields.invalid("format", super::fields::short(other), "json | csv").into()),
    }
}
