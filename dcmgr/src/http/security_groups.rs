//! `/security_groups`: rule texts, parsed at the edge.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{Code, CreateSecurityGroup, Page, Refusal, SecurityGroup, UpdateSecurityGroup};
use arame_schema::model::{SecurityGroupId, security_group};

const ID: &str = "sg-…";

/// Longest rule text: the column's width (TEXT).
const RULE_BYTES_MAX: usize = 65_535;

/// List security groups.
#[utoipa::path(get, path = "/security_groups", tag = "security groups", params(ListQuery),
    responses((status = 200, body = Page<SecurityGroup>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<SecurityGroup>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::security_groups::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a security group.
#[utoipa::path(get, path = "/security_groups/{id}", tag = "security groups",
    responses((status = 200, body = SecurityGroup)))]
pub async fn get(asked: Asked) -> Answer<SecurityGroup> {
    let id: SecurityGroupId = asked.id(ID)?;
    let view = app::security_groups::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Create a security group. Rules: one a line, `tcp:22,22,ip4:0.0.0.0`.
#[utoipa::path(post, path = "/security_groups", tag = "security groups", request_body = CreateSecurityGroup,
    responses((status = 200, body = SecurityGroup)))]
pub async fn create(mut asked: Asked) -> Answer<SecurityGroup> {
    let id = asked.fields.parsed("id", ID)?;
    let update = update_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let request = CreateSecurityGroup {
        id,
        rule: update.rule.unwrap_or_default(),
        description: update.description.unwrap_or_default(),
        display_name: update.display_name,
    };
    let view = app::security_groups::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change a security group. What is absent stays, an empty rule text clears the rules.
#[utoipa::path(put, path = "/security_groups/{id}", tag = "security groups", request_body = UpdateSecurityGroup,
    responses((status = 200, body = SecurityGroup)))]
pub async fn update(mut asked: Asked) -> Answer<SecurityGroup> {
    let id: SecurityGroupId = asked.id(ID)?;
    let request = update_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::security_groups::update(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete a security group that nothing uses.
#[utoipa::path(delete, path = "/security_groups/{id}", tag = "security groups",
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: SecurityGroupId = asked.id(ID)?;
    app::security_groups::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(vec![id.to_string()])
}

fn update_of(fields: &mut Fields) -> Result<UpdateSecurityGroup, Refusal> {
    let rule = fields.text_within("rule", RULE_BYTES_MAX)?;
    if let Some(text) = &rule {
        security_group::parse(text).map_err(|error| {
            Refusal::new(Code::InvalidSecurityGroupRule)
                .with("line", error.line)
                .with("text", error.text)
                .with("reason", error.reason)
        })?;
    }
    Ok(UpdateSecurityGroup {
        rule,
        description: fields.text_within("description", NAME_BYTES_MAX)?,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;

    fn read(body: &str) -> Result<UpdateSecurityGroup, Refusal> {
        update_of(&mut parameters("", "", body.as_bytes()).unwrap())
    }

    #[test]
    fn an_absent_rule_stays_and_an_empty_one_clears() {
        assert_eq!(read("description=d").unwrap().rule, None);
        assert_eq!(read("rule=").unwrap().rule.as_deref(), Some(""));
    }

    #[test]
    fn a_bad_rule_is_refused_with_its_line() {
        let refused = read("rule=tcp:22,22,ip4:0.0.0.0%0Atcp:80").unwrap_err();
        assert_eq!(refused.code, Code::InvalidSecurityGroupRule);
        assert_eq!((refused.values["line"].as_str(), refused.values["text"].as_str()), ("2", "tcp:80"));
    }
}
