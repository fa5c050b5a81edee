//! The plan of an attachment: the export on the storage node. Plugging belongs to the instance's plan; an export goes
//! only when the plug is surely gone, a plug comes only when the export surely stands (DESIGN 3.2).

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub volume: Fact,
    pub exported: Fact,
    /// On any host: the most present of all its plugs.
    pub plugged: Fact,
}

pub fn next_job(wish: Wish, facts: Facts) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    if wish.wanted {
        let exportable = facts.volume.is_surely_so() && !facts.exported.is_surely_so();
        return if exportable { job(Kind::ExportVolume) } else { None };
    }
    let removable = !facts.plugged.may_be_so() && facts.exported.may_be_so();
    if removable { job(Kind::UnexportVolume) } else { None }
}

/// Whether the attachment is over: nothing of it is left anywhere.
pub fn is_over(wish: Wish, facts: Facts) -> bool {
    !wish.wanted && facts.plugged == Fact::No && facts.exported == Fact::No
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_outlives_every_plug_that_may_exist() {
        let wish = Wish { wanted: false, generation: 2 };
        for plugged in [Fact::Maybe, Fact::Yes] {
            let facts = Facts { volume: Fact::Yes, exported: Fact::Yes, plugged };
            assert_eq!(next_job(wish, facts), None);
            assert!(!is_over(wish, facts));
        }
        let facts = Facts { volume: Fact::Yes, exported: Fact::Yes, plugged: Fact::No };
        assert_eq!(next_job(wish, facts).map(|w| w.kind), Some(Kind::UnexportVolume));
    }
}
