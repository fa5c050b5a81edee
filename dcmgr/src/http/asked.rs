//! One request, ready for a handler: who asks, for what, with which parameters.
//!
//! Rule: in this order, so that nothing is told to a stranger: credential, role, body. A handler gets no request that
//! the table of `roles` does not let through.

use super::answer::{Answer, Refused};
use super::app::{App, Caller};
use super::compat::{self, Attached};
use super::fields::Fields;
use super::front::{Frame, Slip};
use super::{Http, app, body, credential, roles};
use arame_schema::api::{Code, Localise, Page, Refusal};
use axum::Json;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::str::FromStr;

/// An authenticated, permitted, readable request.
pub struct Asked {
    pub http: Http,
    pub caller: Caller,
    pub fields: Fields,
    pub headers: HeaderMap,
    pub credential: Credential,
    frame: Frame,
    path: Vec<(String, String)>,
}

/// What a request showed, to be looked at again while its stream goes on.
#[derive(Clone)]
pub struct Credential {
    secret: String,
    account: Option<String>,
    address: String,
}

impl Credential {
    fn of(parts: &Parts) -> Result<Self, Refusal> {
        let secret = match parts.extensions.get::<Attached>() {
            Some(Attached(secret)) => secret.to_string(),
            None => credential::secret(&parts.headers)?,
        };
        let account = credential::wanted_account(&parts.headers)?;
        Ok(Self { secret, account, address: address(parts) })
    }

    /// # Errors
    /// It does not let in any more.
    pub async fn show(&self, app: &App) -> Result<Caller, Refusal> {
        app.authenticate(&self.secret, self.account.as_deref(), &self.address).await
    }
}

fn address(parts: &Parts) -> String {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    peer.unwrap_or_else(|| "local".into())
}

/// A readable request without a credential.
pub struct Unasked {
    pub http: Http,
    pub stranger: app::sessions::Stranger,
    pub fields: Fields,
    frame: Frame,
}

impl Unasked {
    /// The view in the reader's language.
    pub fn answer<T: Localise>(&self, mut view: T) -> Answer<T> {
        view.localise(self.frame.language);
        Ok(Json(view))
    }
}

impl FromRequest<Http> for Unasked {
    type Rejection = Refused;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Refused> {
        let (parts, payload) = request.into_parts();
        let frame = parts.extensions.get::<Frame>().copied().ok_or_else(|| defect("a request without a frame"))?;
        let stranger = app::sessions::Stranger { request: frame.request, address: address(&parts) };
        let (fields, _) = fields(&parts, payload).await?;
        Ok(Unasked { http: http.clone(), stranger, fields, frame })
    }
}

/// A permitted request whose body is read by its handler, piece by piece.
pub struct Poured {
    pub http: Http,
    pub caller: Caller,
    pub headers: HeaderMap,
    pub body: axum::body::Body,
    frame: Frame,
    id: String,
}

impl Poured {
    /// The `{id}` of the path, as [`Asked::id`].
    pub fn id<T: FromStr + AsRef<str>>(&self, expected: &'static str) -> Result<T, Refused> {
        self.id.parse().map_err(|_| bad_id(&self.id, expected))
    }

    /// How a view is answered in the reader's language, when the body is gone.
    pub fn frame(&self) -> Frame {
        self.frame
    }
}

impl FromRequest<Http> for Poured {
    type Rejection = Refused;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let frame = parts.extensions.get::<Frame>().copied().ok_or_else(|| defect("a request without a frame"))?;
        let (mut caller, _) = caller(&parts, http, frame).await?;
        // Bytes of any size are not remembered by a key: sent again they are compared with what is there.
        caller.idempotency_key = None;
        let path = path_parameters(&mut parts, http).await?;
        let id = path.into_iter().find(|(name, _)| name == "id").map(|(_, value)| value).unwrap_or_default();
        Ok(Poured { http: http.clone(), caller, headers: parts.headers, body, frame, id })
    }
}

fn bad_id(text: &str, expected: &'static str) -> Refused {
    let refusal = Refusal::new(Code::InvalidParameter).with("name", "id");
    Refused(refusal.with("value", super::fields::short(text)).with("expected", expected))
}

/// The parameters, and the body as it came.
async fn fields(parts: &Parts, payload: axum::body::Body) -> Result<(Fields, Vec<u8>), Refused> {
    let bytes = read(&parts.headers, payload).await?;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let fields = body::parameters(parts.uri.query().unwrap_or(""), content_type, &bytes)?;
    Ok((fields, bytes))
}

impl Asked {
    pub fn app(&self) -> &App {
        &self.http.app
    }

    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// The `{id}` of the path, of this kind. The original answers 400 to a wrong prefix and 404 to an unknown id.
    pub fn id<T: FromStr + AsRef<str>>(&self, expected: &'static str) -> Result<T, Refused> {
        let text = self.raw_id();
        text.parse().map_err(|_| bad_id(text, expected))
    }

    /// The `{id}` of the path as it came.
    pub fn raw_id(&self) -> &str {
        self.part("id")
    }

    /// A named part of the path as it came: `{vif}`, `{name}`.
    pub fn part(&self, wanted: &str) -> &str {
        self.path.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str())
    }

    /// The view in the reader's language.
    pub fn answer<T: Localise>(&self, mut view: T) -> Answer<T> {
        view.localise(self.frame.language);
        Ok(Json(view))
    }

    /// The list envelope in the reader's language.
    pub fn page<T: Localise>(&self, mut page: Page<T>) -> Answer<[Page<T>; 1]> {
        page.localise(self.frame.language);
        Ok(Json(page.into_envelope()))
    }
}

impl FromRequest<Http> for Asked {
    type Rejection = Refused;

    async fn from_request(request: Request, http: &Http) -> Result<Self, Refused> {
        let (mut parts, payload) = request.into_parts();
        let frame = parts.extensions.get::<Frame>().copied().ok_or_else(|| defect("a request without a frame"))?;
        let (caller, credential) = caller(&parts, http, frame).await?;
        let path = path_parameters(&mut parts, http).await?;
        let (fields, bytes) = fields(&parts, payload).await?;
        if caller.idempotency_key.is_some() && roles::changes(&parts.method) {
            repeated(&parts, http, &caller, &bytes).await?;
        }
        Ok(Asked { http: http.clone(), caller, fields, headers: parts.headers, credential, frame, path })
    }
}

/// Looks whether a request with this key was answered before. If so, or if it was another request, it goes no further;
/// if not, its answer is to be kept.
async fn repeated(parts: &Parts, http: &Http, caller: &Caller, body: &[u8]) -> Result<(), Refused> {
    let digest = digest(&parts.method, &parts.uri, caller, body);
    let answered = app::idempotency::answered(&http.app, caller, &digest).await?;
    let Some(slip) = parts.extensions.get::<Slip>() else { return Ok(()) };
    match answered {
        None => {
            slip.keep(caller.clone(), digest);
            Ok(())
        }
        Some(answer) => {
            slip.replay(answer);
            Err(Refusal::new(Code::Repeated).into())
        }
    }
}

/// What makes two requests the same: whoever repeats one sends the same bytes to the same place for the same account.
fn digest(method: &Method, uri: &Uri, caller: &Caller, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    let account = format!("{:?}", caller.account);
    for part in [method.as_str().as_bytes(), uri.to_string().as_bytes(), account.as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

/// Authenticates, then looks the route up in the table of roles.
pub async fn caller(parts: &Parts, http: &Http, frame: Frame) -> Result<(Caller, Credential), Refused> {
    let attached = parts.extensions.get::<Attached>().is_some();
    if attached {
        compat::check(&parts.headers)?;
    }
    let credential = Credential::of(parts)?;
    let mut caller = credential.show(&http.app).await?;
    if attached && app::sessions::is_operators(caller.role) {
        return Err(Refusal::new(Code::CompatRefused).with("reason", caller.role.as_str()).into());
    }
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    // HEAD is answered by the handlers of GET.
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    if !roles::permits(caller.role, method, route) {
        return Err(Refusal::new(Code::NotPermitted).into());
    }
    caller.request = frame.request;
    caller.idempotency_key = credential::idempotency_key(&parts.headers)?;
    Ok((caller, credential))
}

async fn path_parameters(parts: &mut Parts, http: &Http) -> Result<Vec<(String, String)>, Refused> {
    let raw = RawPathParams::from_request_parts(parts, http).await.map_err(|_| {
        Refusal::new(Code::InvalidParameter).with("name", "URL").with("value", "?").with("expected", "UTF-8")
    })?;
    Ok(raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The whole body, or the refusal that it is too large, without keeping more than the limit.
async fn read(headers: &HeaderMap, payload: axum::body::Body) -> Result<Vec<u8>, Refused> {
    let too_large = || Refused(Refusal::new(Code::TooLarge).with("limit", body::BODY_BYTES_MAX));
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if told.is_some_and(|length: usize| length > body::BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut stream = payload.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|source| Refusal::new(Code::InvalidBody).with("reason", source))?;
        if bytes.len() + piece.len() > body::BODY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn defect(what: &str) -> Refused {
    tracing::error!(what, "the http layer is put together wrongly");
    Refused(Refusal::new(Code::Internal))
}
