//! Answers: a view as JSON, or a refusal that the front puts into words.
//!
//! Rule: success is always 200, as in the original. A refusal travels in the response's extensions until the front,
//! which knows the language and the request's id.

use super::front::Frame;
use arame_schema::api::error::ERROR_MODULE;
use arame_schema::api::{Code, ErrorBody, Localise, Placement, Refusal, catalogue};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};

/// What a handler returns.
pub type Answer<T> = Result<Json<T>, Refused>;

/// A refusal on its way to the front.
#[derive(Debug, Clone)]
pub struct Refused(pub Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The refusal in words. `bare` is the response it travelled in; of it only the router's Allow header is kept.
pub fn refusal_response(refusal: Refusal, frame: Frame, bare: Response) -> Response {
    let entry = catalogue::refusal(refusal.code);
    let status = StatusCode::from_u16(entry.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let wait = refusal.values.get("seconds").and_then(|seconds| HeaderValue::from_str(seconds).ok());
    let wait = wait.filter(|_| refusal.code == Code::TooManyFailures);
    let mut response = (status, Json(told(refusal, frame))).into_response();
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    if let Some(allow) = bare.headers().get(ALLOW) {
        response.headers_mut().insert(ALLOW, allow.clone());
    }
    if let Some(challenge) = bare.headers().get(WWW_AUTHENTICATE) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
    } else if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 section 11.6.1: a 401 names a challenge. Not Basic, which would open a browser's dialogue.
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"arame\""));
    }
    response
}

/// A refusal in the reader's words.
pub fn told(refusal: Refusal, frame: Frame) -> ErrorBody {
    let request_id = frame.request.to_string();
    let refusal = refusal.with("request", &request_id);
    let entry = catalogue::refusal(refusal.code);
    let mut words = catalogue::told(&refusal, frame.language);
    let mut detail = refusal.detail.map(|detail| *detail);
    if matches!(refusal.code, Code::OutOfHostCapacity | Code::OutOfStorageCapacity)
        && let Some(mut placement) = detail.clone().and_then(|d| serde_json::from_value::<Placement>(d).ok())
    {
        placement.localise(frame.language);
        if let Some(change) = &placement.smallest_change {
            words.next_step = change.sentence.clone();
        }
        detail = serde_json::to_value(placement).ok();
    }
    ErrorBody {
        error: format!("{ERROR_MODULE}{}", entry.class),
        message: words.sentence,
        code: entry.number.to_string(),
        reason: entry.wire.to_owned(),
        cause: words.cause,
        next_step: words.next_step,
        language: frame.language.as_str().to_owned(),
        detail,
        request_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::Language;
    use arame_schema::api::placement::SmallestChange;
    use uuid::Uuid;

    fn frame(language: Language) -> Frame {
        Frame { request: Uuid::nil(), language, form: crate::http::front::Form::Json }
    }

    #[test]
    fn every_refusal_has_the_originals_keys_first_and_words_in_both_languages() {
        for code in Code::ALL {
            for language in Language::ALL {
                let text = serde_json::to_string(&told(Refusal::new(code), frame(language))).unwrap();
                let keys = ["\"error\":\"Dcmgr::Endpoints::Errors::", "\"message\":\"", "\"code\":\"", "\"reason\":\""];
                let places: Vec<usize> = keys.iter().map(|key| text.find(key).expect(key)).collect();
                assert!(places.is_sorted(), "{text}");
                assert!(text.contains(&format!("\"language\":\"{}\"", language.as_str())));
            }
        }
    }

    #[test]
    fn a_placement_that_does_not_fit_says_the_smallest_change_as_next_step() {
        let change = SmallestChange::new("free_memory").with("host", "hn-1").with("amount", 256);
        let placement = Placement { smallest_change: Some(change), ..Placement::default() };
        let refusal = Refusal::new(Code::OutOfHostCapacity).with_detail(serde_json::to_value(&placement).unwrap());
        let body = told(refusal, frame(Language::En));
        assert!(body.next_step.contains("256 MiB"), "{}", body.next_step);
        assert_eq!((body.code.as_str(), body.reason.as_str()), ("120", "out_of_host_capacity"));
        assert!(body.detail.unwrap()["smallest_change"]["sentence"].as_str().unwrap().contains("hn-1"));
    }

    #[test]
    fn a_defect_tells_its_request_and_nothing_of_its_inside() {
        let refusal = Refusal::new(Code::Internal);
        let body = told(refusal, frame(Language::En));
        assert!(body.cause.contains(&Uuid::nil().to_string()), "{}", body.cause);
    }
}
