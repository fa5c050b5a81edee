//! The routes and the OpenAPI 3.1 document, from one declaration.
//!
//! Rule: a route exists in the document or not at all. `schema/openapi.json` is a checked-in copy; a test keeps it
//! current (ARAME_BLESS=1 writes it).

use super::{API, Http};
use super::{accounts, audit, events, instances, jobs, security_groups, ssh_key_pairs, volume_snapshots, volumes};
use arame_schema::api::ErrorBody;
use axum::Json;
use axum::routing::get;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
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
        .routes(routes!(instances::console_log))
        .routes(routes!(instances::timeline))
        .routes(routes!(instances::placement))
        .routes(routes!(volumes::list, volumes::create))
        .routes(routes!(volumes::get, volumes::update, volumes::delete))
        .routes(routes!(volumes::attach))
        .routes(routes!(volumes::detach))
        .routes(routes!(volumes::roll_back))
        .routes(routes!(volume_snapshots::list, volume_snapshots::create))
        .routes(routes!(volume_snapshots::get, volume_snapshots::delete))
        .routes(routes!(security_groups::list, security_groups::create))
        .routes(routes!(security_groups::get, security_groups::update, security_groups::delete))
        .routes(routes!(ssh_key_pairs::list, ssh_key_pairs::create))
        .routes(routes!(ssh_key_pairs::get, ssh_key_pairs::update, ssh_key_pairs::delete))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::get, accounts::update, accounts::delete))
        .routes(routes!(accounts::usage))
        .routes(routes!(accounts::tokens, accounts::create_token))
        .routes(routes!(accounts::revoke_token))
        .routes(routes!(accounts::audit_log))
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

/// The document, with what is the same for every operation added.
pub fn document() -> OpenApi {
    let mut document = routes().into_openapi();
    for (path, item) in &mut document.paths.paths {
        let with_id = path.contains("{id}");
        operations(item).for_each(|operation| complete(operation, with_id));
    }
    let components = document.components.get_or_insert_default();
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    for (name, scheme) in [("token", HttpAuthScheme::Bearer), ("password", HttpAuthScheme::Basic)] {
        components.security_schemes.insert(name.into(), SecurityScheme::Http(HttpScheme::new(scheme)).into());
    }
    let none: [&str; 0] = [];
    document.security = Some(vec![SecurityRequirement::new("token", none), SecurityRequirement::new("password", none)]);
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten()
}

/// How the schemas of pages are named: `Page_Instance`.
const PAGE: &str = "/Page_";

fn complete(operation: &mut Operation, with_id: bool) {
    let parameters = operation.parameters.get_or_insert_default();
    if with_id {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        parameters.insert(0, id.schema(Some(text)).build().into());
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && let Some(json) = body.content.get("application/json").cloned()
    {
        body.content.insert("application/x-www-form-urlencoded".into(), json);
    }
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200")
        && let Some(RefOr::T(content)) = response.content.get_mut("application/json")
        && let Some(RefOr::Ref(page)) = content.schema.clone()
        && page.ref_location.contains(PAGE)
    {
        // The envelope is an array of one page; the derive cannot write an array of a generic schema.
        content.schema = Some(RefOr::T(Schema::Array(ArrayBuilder::new().items(page).build())));
    }
    let refused = ResponseBuilder::new()
        .description("Refused; nothing was changed.")
        .content("application/json", ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build());
    operation.responses.responses.insert("default".into(), refused.build().into());
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
}
