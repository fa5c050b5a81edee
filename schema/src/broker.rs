//! What the broker must know, said once: users' rights, exchanges, queues, policies, in the form of RabbitMQ's definitions file
//! and of its management API, which is the same.
//!
//! Rule: an agent may configure and read its own queue only and write to the exchanges of [`exchange`] only, never to the
//! default exchange; no queue is declared with arguments that a policy can say. Passwords and their hashes are the caller's.
//! `arame up`, the example of the package and the kits of tests all take it from here.

use crate::jobs::{DEAD_QUEUE, exchange};
use crate::limits::DELIVERY_LIMIT;
use crate::model::AgentId;
use serde_json::{Value, json};

/// The virtual host of a data center.
pub const VHOST: &str = "arame";

/// The user that dcmgr is.
pub const MANAGER: &str = "dcmgr";

/// Dead messages kept for the audit; the oldest go first.
const DEAD_LENGTH_MAX: u32 = 10_000;

/// Heartbeats and inventories waiting while dcmgr is away: the latest wins, so few are enough.
const TRANSIENT_LENGTH_MAX: u32 = 10_000;

/// What a user may do: regular expressions over names of queues and exchanges (rabbitmq.com, *Access Control*).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub configure: String,
    pub write: String,
    pub read: String,
}

impl Rights {
    /// Everything in the virtual host, and nothing of the broker itself.
    pub fn of_manager() -> Self {
        let all = || ".*".to_owned();
        Self { configure: all(), write: all(), read: all() }
    }

    pub fn of_agent(agent: &AgentId) -> Self {
        let own = format!("^{}$", agent.queue().replace('.', "\\."));
        let writable: Vec<&str> = exchange::ALL.iter().filter_map(|name| name.strip_prefix("arame.")).collect();
        Self { configure: own.clone(), write: format!("^arame\\.({})$", writable.join("|")), read: own }
    }

    /// As a permission of the definitions file.
    pub fn permission(&self, user: &str, vhost: &str) -> Value {
        json!({ "user": user, "vhost": vhost, "configure": self.configure, "write": self.write, "read": self.read })
    }
}

/// An exchange as all of Arame's are.
pub fn fanout(name: &str) -> Value {
    json!({ "name": name, "vhost": VHOST, "type": "fanout", "durable": true, "auto_delete": false,
            "internal": false, "arguments": {} })
}

/// Lengths and limits of the queues: an operator may change them without anything being declared anew.
fn policies() -> Value {
    let policy = |name: &str, pattern: &str, definition: Value| {
        json!({ "vhost": VHOST, "name": name, "pattern": pattern, "apply-to": "queues", "priority": 0,
                "definition": definition })
    };
    let dead_letters = json!({
        "delivery-limit": DELIVERY_LIMIT, "dead-letter-exchange": "", "dead-letter-routing-key": DEAD_QUEUE
    });
    json!([
        policy("jobs", "^job\\.", dead_letters.clone()),
        policy("answers", "^dcmgr\\.(hello|outcome)$", dead_letters),
        policy("dead", "^dead$", json!({ "max-length": DEAD_LENGTH_MAX })),
        policy("transient", "^dcmgr\\.(inventory|heartbeat)$", json!({ "max-length": TRANSIENT_LENGTH_MAX })),
    ])
}

/// Everything the broker must know of a data center, as its definitions file. `user` makes one user's entry of a name: only the
/// caller knows the passwords.
pub fn definitions(agents: &[AgentId], mut user: impl FnMut(&str) -> Value) -> Value {
    let users: Vec<Value> =
        std::iter::once(user(MANAGER)).chain(agents.iter().map(|agent| agent.as_str()).map(&mut user)).collect();
    let of_agents = agents.iter().map(|agent| Rights::of_agent(agent).permission(agent.as_str(), VHOST));
    let permissions: Vec<Value> =
        std::iter::once(Rights::of_manager().permission(MANAGER, VHOST)).chain(of_agents).collect();
    let exchanges: Vec<Value> = exchange::ALL.iter().map(|name| fanout(name)).collect();
    json!({
        "vhosts": [{ "name": VHOST }],
        "users": users,
        "permissions": permissions,
        "exchanges": exchanges,
        "queues": [{ "name": DEAD_QUEUE, "vhost": VHOST, "durable": true, "auto_delete": false,
                     "arguments": { "x-queue-type": "quorum" } }],
        "policies": policies(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn an_agent_may_touch_its_own_queue_only() {
        let agents: [AgentId; 1] = ["hva.h1".parse().unwrap()];
        let definitions = definitions(&agents, |name| json!({ "name": name }));
        let agent = &definitions["permissions"][1];
        assert_eq!(agent["configure"], "^job\\.hva\\.h1$");
        assert_eq!(agent["read"], agent["configure"]);
        assert_eq!(agent["write"], "^arame\\.(hello|outcome|inventory|heartbeat|reply)$");
        assert_eq!(definitions["users"], json!([{ "name": "dcmgr" }, { "name": "hva.h1" }]));
    }

    #[test]
    fn the_example_of_the_package_says_the_same() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packages/arame-dcmgr/examples/broker.json");
        // Agents' users are made when their machines join, which dcmgr does as an administrator.
        let user =
            |name: &str| json!({ "name": name, "password": format!("PASSWORD-{name}"), "tags": "administrator" });
        let example: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(example, definitions(&[], user), "{}", path.display());
    }
}
