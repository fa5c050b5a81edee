//! The routes and the OpenAPI 3.1 document, from one declaration.
//!
//! Rule: a route exists in the document or not at all, and the document names its roles, each of its refusals by status
//! and word, and examples. `schema/openapi.json` is a checked-in copy; a test keeps it
//! current (ARAME_BLESS=1 writes it).

mod bodies;
mod sample;
mod told;

use super::{API, Http, roles};
use super::{
    accounts, audit, bulk, consoles, events, instances, jobs, joins, reports, security_groups, sessions,
    snapshot_replicas, ssh_key_pairs, users, volume_snapshots, volumes,
};
use arame_schema::api::ErrorBody;
use axum::Json;
use axum::http::Method;
use axum::routing::get;
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
use utoipa::openapi::security::{Http as HttpScheme, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ArrayBuilder, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Arame",
    version = "12.03",
    description = "The REST API of Wakame-vdc 12.03, grown. Bodies are forms with Rack nesting, one-key JSON envelopes or \
        flat JSON; success is always 200; every refusal says its cause and the next step in the language of \
        Accept-Language (ja, en). X-VDC-Account-UUID selects the account among those the token may act for."
))]
struct Base;

/// Every documented route, below [`API`].
pub fn routes() -> OpenApiRouter<Http> {
    let below = OpenApiRouter::new()
        .routes(routes!(instances::list, instances::create))
        .routes(routes!(instances::get, instances::update, instances::delete))
        .routes(routes!(instances::power_off))
        .routes(routes!(instances::power_on))
        .routes(routes!(instances::reboot))
        .routes(routes!(instances::move_to, instances::cancel_move))
        .routes(routes!(instances::console_log))
        .routes(routes!(consoles::ticket))
        .routes(routes!(consoles::screenshot))
        .routes(routes!(instances::usage))
        .routes(routes!(instances::timeline))
        .routes(routes!(instances::placement))
        .routes(routes!(volumes::list, volumes::create))
        .routes(routes!(volumes::get, volumes::update, volumes::delete))
        .routes(routes!(volumes::attach))
        .routes(routes!(volumes::why))
        .routes(routes!(volumes::detach))
        .routes(routes!(volumes::roll_back))
        .routes(routes!(volume_snapshots::list, volume_snapshots::create))
        .routes(routes!(volume_snapshots::get, volume_snapshots::update, volume_snapshots::delete))
        .routes(routes!(snapshot_replicas::list, snapshot_replicas::create))
        .routes(routes!(snapshot_replicas::get, snapshot_replicas::delete))
        .routes(routes!(security_groups::list, security_groups::create))
        .routes(routes!(security_groups::get, security_groups::update, security_groups::delete))
        .routes(routes!(ssh_key_pairs::list, ssh_key_pairs::create))
        .routes(routes!(ssh_key_pairs::get, ssh_key_pairs::update, ssh_key_pairs::delete))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::get, accounts::update, accounts::delete))
        .routes(routes!(reports::of_account))
        .routes(routes!(bulk::power_off))
        .routes(routes!(bulk::power_on))
        .routes(routes!(bulk::delete_instances))
        .routes(routes!(bulk::delete_volumes))
        .routes(routes!(bulk::delete_security_groups))
        .routes(routes!(bulk::delete_ssh_key_pairs))
        .routes(routes!(bulk::delete_backup_objects))
        .routes(routes!(accounts::tokens, accounts::create_token))
        .routes(routes!(accounts::token, accounts::revoke_token))
        .routes(routes!(accounts::audit_log))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::update, users::delete))
        .routes(routes!(sessions::create))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::whoami))
        .routes(routes!(sessions::change_password))
        .routes(routes!(joins::list, joins::create))
        .routes(routes!(joins::get, joins::revoke))
        .routes(routes!(joins::join))
        .routes(routes!(joins::leave))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(audit::findings))
        .routes(routes!(audit::adopt))
        .routes(routes!(audit::remove))
        .routes(routes!(audit::confirm))
        .routes(routes!(events::events))
        .merge(super::resources::routes());
    OpenApiRouter::with_openapi(Base::openapi())
        .nest(API, below)
        .route(&format!("{API}/openapi.json"), get(|| async { Json(document()) }))
}

/// The document, with what is told of every operation added.
pub fn document() -> OpenApi {
    let mut document = routes().into_openapi();
    let components = document.components.get_or_insert_default();
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    components.schemas.values_mut().for_each(close);
    for (name, scheme) in [("token", HttpAuthScheme::Bearer), ("password", HttpAuthScheme::Basic)] {
        components.security_schemes.insert(name.into(), SecurityScheme::Http(HttpScheme::new(scheme)).into());
    }
    let schemas = serde_json::to_value(&components.schemas).unwrap_or_default();
    for (path, item) in &mut document.paths.paths {
        operations(item).for_each(|(method, operation)| complete(operation, &method, path, &schemas));
    }
    document.security = Some(requirements());
    document
}

fn requirements() -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    vec![SecurityRequirement::new("token", none), SecurityRequirement::new("password", none)]
}

/// A type with named fields has no others.
fn close(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema
        && !object.properties.is_empty()
        && object.additional_properties.is_none()
    {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// How the schemas of pages are named: `Page_Instance`.
const PAGE: &str = "/Page_";

fn complete(operation: &mut Operation, method: &Method, path: &str, schemas: &Value) {
    operation.operation_id = Some(name_of(method, path));
    let mut words = Extensions::default();
    words.insert("x-roles".into(), json!(roles::words(method, path)));
    operation.extensions = Some(words);
    if roles::right(method, path) == Some(roles::Right::Open) {
        operation.security = Some(vec![SecurityRequirement::default()]);
    }
    name_parameters(operation, method, path);
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && let Some(RefOr::T(mut json)) = body.content.get("application/json").cloned()
    {
        json.example = bodies::body(method, path);
        body.content.insert("application/x-www-form-urlencoded".into(), RefOr::T(json.clone()));
        body.content.insert("application/json".into(), RefOr::T(json));
    }
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200")
        && let Some(RefOr::T(content)) = response.content.get_mut("application/json")
    {
        if let Some(RefOr::Ref(page)) = content.schema.clone()
            && page.ref_location.contains(PAGE)
        {
            // The envelope is an array of one page; the derive cannot write an array of a generic schema.
            content.schema = Some(RefOr::T(Schema::Array(ArrayBuilder::new().items(page).build())));
        }
        let schema = serde_json::to_value(&content.schema).unwrap_or_default();
        content.example = Some(sample::sample(&schema, schemas, "", "", 0));
    }
    refuse(operation, method, path);
}

/// `get_instances_id_timeline`: unique, and the same for ever.
fn name_of(method: &Method, path: &str) -> String {
    let below = path.strip_prefix(API).unwrap_or(path);
    let plain: String = below.chars().filter(|c| !matches!(c, '{' | '}')).collect();
    format!("{}{}", method.as_str().to_ascii_lowercase(), plain.replace('/', "_"))
}

fn name_parameters(operation: &mut Operation, method: &Method, path: &str) {
    let text = || Some(RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())));
    let header = |name: &str, says: &str| {
        let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
        header.required(Required::False).description(Some(says)).schema(text()).build()
    };
    let parameters = operation.parameters.get_or_insert_default();
    // Other parts of a path are named by their operations, where they are built.
    for name in ["volume", "id"].into_iter().filter(|name| path.contains(&format!("{{{name}}}"))) {
        let part = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        parameters.insert(0, part.schema(text()).build().into());
    }
    if roles::changes(method) && roles::right(method, path) != Some(roles::Right::Open) {
        let says = "1 to 100 characters: a repetition with the same key changes nothing and is answered alike.";
        parameters.push(header("Idempotency-Key", says).into());
    }
    let of_one = path.contains("{id}") && matches!(*method, Method::PUT | Method::DELETE);
    if of_one {
        parameters.push(header("If-Match", "The ETag of what is to be changed; 412 when it is another by now.").into());
    }
    if *method == Method::GET && super::conditional::is_single(path) {
        parameters.push(header("If-None-Match", "The ETag of what is there already; 304 when it is still so.").into());
        let unchanged = ResponseBuilder::new().description("It is still what If-None-Match names.");
        operation.responses.responses.insert("304".into(), unchanged.build().into());
    }
}

/// Each status a refusal may have, with the words of its refusals.
fn refuse(operation: &mut Operation, method: &Method, path: &str) {
    for (status, words) in told::by_status(&told::refusals(method, path)) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let mut extensions = Extensions::default();
        extensions.insert("x-reasons".into(), json!(words));
        let refused = ResponseBuilder::new()
            .description(format!("Refused; nothing was changed. `reason` is one of: {}.", words.join(", ")))
            .content("application/json", content)
            .extensions(Some(extensions));
        operation.responses.responses.insert(status.to_string(), refused.build().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_document_is_current() {
        let current = document().to_pretty_json().unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/openapi.json");
        if std::env::var_os("ARAME_BLESS").is_some() {
            std::fs::write(path, &current).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(checked_in == current, "schema/openapi.json is not what the code says; ARAME_BLESS=1 rewrites it");
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is referred to and not there");
        }
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[test]
    fn every_operation_names_its_roles_its_refusals_and_examples_and_has_a_name_of_its_own() {
        let document = serde_json::to_value(document()).unwrap();
        let (mut names, mut walked) = (std::collections::BTreeSet::new(), 0);
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                assert!(names.insert(operation["operationId"].to_string()), "{place}: its name is another's");
                assert!(!operation["x-roles"].as_array().unwrap().is_empty(), "{place}: nobody may");
                let responses = operation["responses"].as_object().unwrap();
                assert!(!responses.contains_key("default"), "{place}: default");
                for status in ["200", "400", "429", "500", "503"] {
                    assert!(responses.contains_key(status), "{place}: no {status}");
                }
                if let Some(body) = operation.get("requestBody") {
                    let forms = body["content"].as_object().unwrap();
                    assert!(forms.values().all(|form| form.get("example").is_some()), "{place}: no example body");
                }
                let json = &operation["responses"]["200"]["content"]["application/json"];
                assert!(json.is_null() || json.get("example").is_some(), "{place}: no example answer");
                walked += 1;
            }
        }
        println!("walked {walked} operations");
        assert!(walked > 200, "{walked}");
    }
}
